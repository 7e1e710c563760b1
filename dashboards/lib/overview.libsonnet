// Exposure overview: for who answers for it. Ten seconds: are we exposed, can we see, what is getting better.
local p = import 'panels.libsonnet';
local q = import 'queries.libsonnet';

function(config)
  local exposed(level) =
    q.orZero('count(\n%s\n)' % q.ofOwners(q.notExempt('ajar_exposure_level{%s} == %d' % [q.result, level])));
  local worst(level) = q.orZero(
    'count(\n  (max_over_time(ajar_exposure_level{%(result)s}[$__interval]) == %(level)d\n  unless on (%(key)s) last_over_time(ajar_exposure_exempt{%(result)s}[$__interval]))\n  and on (job, instance, target) last_over_time(ajar_target_info{%(target)s, owner=~"$owner"}[$__interval])\n)' %
    { result: q.result, level: level, key: q.key, target: q.ofTarget }
  );
  local monthly(numerator) = 'sum by (owner) (increase(%s{%s}[30d]))' % [numerator, q.ofOwner];
  local meanToClose = monthly('ajar_exposure_duration_seconds_sum') + '\n/\n(' + monthly('ajar_exposure_duration_seconds_count') + ' > 0)';

  p.dashboard(
    config.dashboardUids.overview,
    'ajar: exposure overview',
    'Are we exposed, since when, and is it getting better. For managers; prints on one page (link: print).',
    config.dashboardTag,
    'now-30d',
    [p.variables[v] for v in ['datasource', 'job', 'vantage', 'instance', 'owner', 'check', 'target']] + [p.variables.ajar(q.url)],
    p.links(config.dashboardTag, '${ajar}', 'Pages of ajar') + [{
      type: 'link',
      title: 'Print',
      tags: [],
      url: '/d/%s?kiosk&theme=light' % config.dashboardUids.overview,
      asDropdown: false,
      includeVars: true,
      keepTime: true,
      icon: 'doc',
      targetBlank: true,
      tooltip: 'Light, without menus',
    }],
    [
      [
        p.stat(
          'Open now, proven',
          'Doors through which a stranger\'s message or connection came back to ajar: certain. Without those that are exempt. "Nobody looks": no agent answers, so nothing is known.',
          'short',
          [p.now(exposed(4))],
          4,
          5,
          p.steps('green', [[1, 'red']]),
          'nobody looks',
          p.words({ '0': p.word('none', 'green') }),
        ),
        p.stat(
          'Said yes, not proven',
          'Suspected: the server agreed to what it should refuse, but nothing has come back. Without those that are exempt.',
          'short',
          [p.now(exposed(3))],
          4,
          5,
          p.steps('green', [[1, 'orange']]),
          'nobody looks',
          p.words({ '0': p.word('none', 'green') }),
        ),
        p.stat(
          'Not known',
          'Results that say neither yes nor no: unclear, or unreachable. Never counted as clean.',
          'short',
          [p.now(q.orZero('count(\n%s\n)' % q.ofOwners('ajar_exposure_level{%s} >= 1 < 3' % q.result)))],
          4,
          5,
          p.steps('green', [[1, 'yellow']]),
          'nobody looks',
          p.words({ '0': p.word('none', 'green') }),
        ),
        p.stat(
          'Coverage',
          'Share of what we own that was judged not longer than two intervals ago: the worst check of the worst agent. All owners: an agent does not tell it by owner.',
          'percentunit',
          [p.now('min(ajar_coverage_ratio{%s})' % q.ofCheck)],
          4,
          5,
          p.steps('red', [[0.7, 'orange'], [config.coverageObjective, 'green']]),
          'not measured',
          [],
          { fieldConfig+: { defaults+: { decimals: 0, min: 0, max: 1 } } },
        ),
        p.stat(
          'Days since the last exposure',
          'Since a case was last open, in the last 90 days (or as far back as Prometheus remembers). Without those that are exempt.',
          'suffix: days',
          [p.now(|||
            0 * count(
              %(now)s
            )
            or
            (
              time()
              -
              max(max_over_time(timestamp(
                %(now)s
              )[90d:15m]))
            ) / 86400
            or
            90 * (count(ajar_build_info{%(agent)s}) > bool 0)
          ||| % {
            now: '(ajar_exposure_first_seen_timestamp_seconds{%s} unless on (%s) ajar_exposure_exempt{%s}) and on (job, instance, target) ajar_target_info{%s, owner=~"$owner"}' %
                 [q.result, q.key, q.result, q.ofTarget],
            agent: q.agent,
          })],
          4,
          5,
          p.steps('red', [[0.1, 'orange'], [30, 'green']]),
          'nobody looks',
          [p.fromTo(0, 0.02, 'exposed now', 'red'), p.fromTo(90, null, '90 or more', 'green')],
          { fieldConfig+: { defaults+: { decimals: 0 } } },
        ),
        p.stat(
          'Listed addresses',
          'Addresses of ours that a public database lists now. A symptom, no proof. "Not asked": no database is configured, or none is healthy.',
          'short',
          [p.now(
            'count(count by (target, address) (\n%s\n))\nor\n0 * count(ajar_dnsbl_listed{%s})' %
            [q.ofOwners('ajar_dnsbl_listed{%s} == 1' % q.ofTarget), q.ofTarget]
          )],
          4,
          5,
          p.steps('green', [[1, 'orange']]),
          'not asked',
          p.words({ '0': p.word('none', 'green') }),
        ),
      ],
      [
        p.table(
          'Open cases by owner',
          'How many cases each owner has, and how old the oldest is. Exempt cases count here too, in their own column. Empty: nobody has one.',
          'short',
          [
            p.rows('count by (owner) (\n%s\n)' % q.owned('ajar_exposure_first_seen_timestamp_seconds{%s}' % q.result)),
            p.rows('max by (owner) (\n%s\n)' % q.owned('time() - ajar_exposure_first_seen_timestamp_seconds{%s}' % q.result)),
            p.rows('count by (owner) (\n%s\n)' % q.owned('ajar_exposure_first_seen_timestamp_seconds{%s} and on (%s) ajar_exposure_exempt{%s}' % [q.result, q.key, q.result])),
          ],
          9,
          9,
          ['cases', 'oldest', 'exempt'],
          ['owner', 'Value #A', 'Value #B', 'Value #C'],
          [p.ageColumn('oldest'), p.column('owner', { noValue: 'nobody' }), p.column('exempt', { noValue: '0' })],
          'no open case',
          p.sortBy('oldest'),
        ),
        p.table(
          'The oldest open cases',
          'What waits longest. The target leads to its page at the agent, where the evidence is.',
          'short',
          [
            p.rows('topk(20, max by (job, instance, target, check, owner, url) (\n%s\n))' % q.linked(q.owned('time() - ajar_exposure_first_seen_timestamp_seconds{%s}' % q.result))),
          ],
          15,
          9,
          ['age'],
          ['owner', 'target', 'check', 'Value'],
          [p.ageColumn('age'), p.hidden('url'), p.linkColumn('target', 'Evidence', q.page), p.column('owner', { noValue: 'nobody' })],
          'no open case',
          p.sortBy('age'),
        ),
      ],
      [
        p.timeseries(
          'Exposed doors, 90 days',
          'How many doors were open or said yes at some time in each interval, without those that are exempt. A gap: no agent answered. Needs a Prometheus that remembers 90 days.',
          'short',
          [p.query(worst(4), 'open, proven'), p.query(worst(3), 'said yes, not proven')],
          16,
          9,
          p.over('90d', '1h') + p.stacked + {
            fieldConfig+: {
              overrides: [
                p.column('open, proven', { color: { mode: 'fixed', fixedColor: 'red' } }),
                p.column('said yes, not proven', { color: { mode: 'fixed', fixedColor: 'orange' } }),
              ],
            },
          },
        ),
        p.timeseries(
          'Mean time to close, by owner and month',
          'How long the cases lasted that ended in the 30 days before each bar, whether repaired or retired. No bar: none ended.',
          's',
          [p.query(meanToClose, '{{owner}}')],
          8,
          9,
          p.over('1y', '30d') + p.bars,
        ),
      ],
      [
        p.timeseries(
          'Cases that began and ended, by month',
          'In the 30 days before each bar. Retired: the server or its address left; fixed: ajar saw it refuse, twice.',
          'short',
          [
            p.query('sum(increase(ajar_exposures_opened_total{%s}[30d]))' % q.ofOwner, 'began'),
            p.query('sum(increase(ajar_exposures_reopened_total{%s}[30d]))' % q.ofOwner, 'began again within a day'),
            p.query('sum by (how) (increase(ajar_exposures_closed_total{%s}[30d]))' % q.ofOwner, 'ended: {{how}}'),
          ],
          8,
          8,
          p.over('1y', '30d') + p.bars,
        ),
        p.table(
          'Listed in public databases',
          'What others say of our addresses, now, and in how many databases. A listing is a symptom, no proof. Empty: none is listed, or no database answers (the number above says which).',
          'short',
          [p.rows('count by (target, address, tier) (\n%s\n)' % q.ofOwners('ajar_dnsbl_listed{%s} == 1' % q.ofTarget))],
          8,
          8,
          ['databases'],
          ['target', 'address', 'tier', 'Value'],
          [],
          'none',
        ),
        p.table(
          'Targets nobody owns',
          'Nobody is told when one of these is open. Give them an owner in the configuration. Empty: every target has one.',
          'short',
          [p.rows('count by (target, host) (ajar_target_info{%s, owner=""})' % q.ofTarget)],
          8,
          8,
          ['one'],
          ['target', 'host'],
          [p.hidden('one')],
          'every target has an owner',
        ),
      ],
    ],
  )
