// Exposure detail: for who is on call. What is open, since when, how sure, where is the evidence.
local p = import 'panels.libsonnet';
local q = import 'queries.libsonnet';

function(config)
  // A row for each result, with owner and page; the same labels in every query, so that the table can merge them.
  local row(expr) = p.rows(q.linked(q.owned(expr)));
  local cases = 'ajar_exposure_first_seen_timestamp_seconds{%s}' % q.result;
  local ofCases(expr) = expr + ' and on (%s) %s' % [q.key, cases];

  p.dashboard(
    config.dashboardUids.detail,
    'ajar: exposure detail',
    'Every door that is not closed: its state over time, its case, the way to its evidence. For who is on call.',
    config.dashboardTag,
    'now-24h',
    [p.variables[v] for v in ['datasource', 'job', 'vantage', 'instance', 'owner', 'check', 'target']] + [p.variables.ajar(q.url)],
    p.links(config.dashboardTag, '${ajar}exposures', 'Cases at ajar'),
    [
      [
        p.table(
          'Open cases',
          'One line for each door. State: what ajar judges (open: proven). Last answer: what the last probe alone said. The address leads to the evidence: the conversation, the reason, and the addresses it left by, which are no labels. Empty: no case is open.',
          'short',
          [
            row(ofCases('ajar_exposure_level{%s}' % q.result)),
            row('time() - ' + cases),
            row(ofCases('ajar_last_probe_level{%s}' % q.result)),
            row(ofCases('ajar_last_probe_timestamp_seconds{%s} * 1000' % q.result)),
            row(ofCases('ajar_exposure_exempt{%s}' % q.result)),
          ],
          24,
          9,
          ['state', 'age', 'last answer', 'asked', 'exempt'],
          ['Value #A', 'target', 'address', 'port', 'transport', 'check', 'owner', 'Value #B', 'Value #C', 'Value #D', 'Value #E', 'vantage'],
          [
            p.levelColumn('state'),
            p.levelColumn('last answer'),
            p.ageColumn('age'),
            p.timeColumn('asked'),
            p.column('exempt', { mappings: p.words({ '1': p.word('exempt', 'blue') }), noValue: '' }),
            p.hidden('url'),
            p.linkColumn('address', 'Evidence', q.evidence),
            p.linkColumn('target', 'This target', '/d/%s?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&var-target=${__data.fields.target}' % config.dashboardUids.target),
            p.column('owner', { noValue: 'nobody' }),
          ],
          'no open case',
          p.sortBy('state'),
        ),
      ],
      [
        p.stateTimeline(
          'State of each endpoint and check',
          'What ajar judged over time, of everything that was not only closed in this span; the first line is the worst of all targets, so a span in which all was closed shows that line alone. A gap: no agent answered. Ports where nobody listens have no line.',
          'short',
          [
            p.query('max(ajar_target_exposure_level{%s})' % q.ofTarget, 'worst of all'),
            p.query(
              q.ofOwners(
                'ajar_exposure_level{%(result)s}\nand on (%(key)s) max_over_time(ajar_exposure_level{%(result)s}[$__range] @ end()) > 0' %
                { result: q.result, key: q.key }
              ),
              '{{target}} {{address}}:{{port}}/{{transport}} {{check}}'
            ),
          ],
          24,
          12,
          p.levels,
        ),
      ],
      [
        p.table(
          'A second probe must confirm',
          'Where the last probe alone said something else than what is judged: a change counts when a second one says the same, a proof at once. Empty: they agree everywhere.',
          'short',
          [
            row('ajar_exposure_level{%s} != ajar_last_probe_level{%s}' % [q.result, q.result]),
            row('ajar_last_probe_level{%s} != ajar_exposure_level{%s}' % [q.result, q.result]),
            row('ajar_result_due_timestamp_seconds{%(r)s} * 1000 and on (%(k)s) (ajar_exposure_level{%(r)s} != ajar_last_probe_level{%(r)s})' % { r: q.result, k: q.key }),
          ],
          12,
          8,
          ['judged', 'last answer', 'asked again'],
          ['target', 'address', 'port', 'transport', 'check', 'Value #A', 'Value #B', 'Value #C', 'owner', 'vantage'],
          [
            p.levelColumn('judged'),
            p.levelColumn('last answer'),
            p.timeColumn('asked again'),
            p.hidden('url'),
            p.linkColumn('address', 'Evidence', q.evidence),
          ],
          'they agree everywhere',
        ),
        p.table(
          'Not known',
          'Results that are unclear or unreachable. The reason is on the page behind the address. Empty: everything that answers is judged.',
          'short',
          [
            row('ajar_exposure_level{%s} >= 1 < 3' % q.result),
            row('(time() - ajar_last_conclusive_timestamp_seconds{%(r)s}) and on (%(k)s) (ajar_exposure_level{%(r)s} >= 1 < 3)' % { r: q.result, k: q.key }),
          ],
          12,
          8,
          ['state', 'last known'],
          ['target', 'address', 'port', 'transport', 'check', 'Value #A', 'Value #B', 'owner', 'vantage'],
          [
            p.levelColumn('state'),
            p.column('last known', { unit: 's', decimals: 0, noValue: 'never' }),
            p.hidden('url'),
            p.linkColumn('address', 'Evidence', q.evidence),
          ],
          'everything is judged',
        ),
      ],
      [
        p.table(
          'Listings beside proof',
          'Each address that a public database lists, and the worst that ajar itself found there. Listed and open: it is probably abused now. Listed and closed: repaired before, or listed for something else. Empty: none is listed, or no database answers.',
          'short',
          [
            p.rows('count by (job, instance, target, address) (\n%s\n)' % q.ofOwners('ajar_dnsbl_listed{%s} == 1' % q.ofTarget)),
            p.rows('max by (job, instance, target, address) (\n%s\n)\nand on (job, instance, target, address) (ajar_dnsbl_listed{%s} == 1)' % [q.ofOwners('ajar_exposure_level{%s}' % q.ofTarget), q.ofTarget]),
          ],
          12,
          8,
          ['databases', 'ajar found'],
          ['target', 'address', 'Value #A', 'Value #B'],
          [p.column('ajar found', { mappings: p.levels, 'custom.cellOptions': { type: 'color-background', mode: 'basic' }, noValue: 'nothing listens' })],
          'none',
          p.sortBy('ajar found'),
        ),
        p.table(
          'What the databases say',
          'Zone, code and its meaning for each listing. Empty: none is listed, or no database answers.',
          'short',
          [p.rows('count by (target, address, zone, code, meaning) (\n%s\n)' % q.ofOwners('ajar_dnsbl_listing_info{%s}' % q.ofTarget))],
          12,
          8,
          ['listed'],
          ['target', 'address', 'zone', 'code', 'meaning'],
          [p.hidden('listed')],
          'none',
        ),
      ],
      [
        p.timeseries(
          'Probes that told nothing, by reason',
          'In an hour, at the pace of each moment. source_blocked: they refuse us, not strangers. All owners: the agent does not count it by owner.',
          'suffix: /h',
          [p.query('3600 * sum by (reason) (rate(ajar_probe_failures_total{%s}[$__rate_interval]))' % q.ofCheck, '{{reason}}')],
          12,
          8,
          p.stacked,
        ),
        p.timeseries(
          'Results by verdict',
          'How many results are judged how, closed ports and filtered ones too. All owners. A gap: no agent answered.',
          'short',
          [p.query('sum by (verdict) (ajar_results{%s})' % q.ofCheck, '{{verdict}}')],
          12,
          8,
          p.stacked {
            fieldConfig+: { overrides: [p.column(verdict, { color: { mode: 'fixed', fixedColor: p.colours[verdict] } }) for verdict in std.objectFields(p.colours)] },
          },
        ),
      ],
      [
        p.table(
          'Exemptions',
          'What the configuration allows for a time, and when that ends. After it, an open door there alerts like any other. Empty: there are none.',
          'short',
          [p.rows(q.owned('ajar_exemption_expiry_timestamp_seconds{%s} * 1000' % q.result))],
          12,
          7,
          ['ends'],
          ['target', 'check', 'owner', 'Value'],
          [p.timeColumn('ends')],
          'none',
          p.sortBy('ends', false),
        ),
        p.table(
          'Outside reports',
          "Reports of others about our servers (imported), and what ajar's own probes made of them. Empty: none was imported.",
          'short',
          [p.rows('sum by (source, status) (ajar_suspicions{%s}) > 0' % q.agent)],
          12,
          7,
          ['reports'],
          ['source', 'status', 'Value'],
          [],
          'none was imported',
        ),
      ],
    ],
  )
