// The alerts. Severity: critical wakes somebody, warning is for today, info for this week. Each has a runbook of its name, and unit
// tests in ../alerts/tests.
{
  local config = $._config,

  // Where the agent's pages are, with a slash at the end. Prometheus expands this at each evaluation.
  local agentUrl =
    '{{ with query (printf `ajar:agent_info:held{job=%q,instance=%q}` $labels.job $labels.instance) }}' +
    '{{ . | first | label "url" }}{{ else }}http://{{ $labels.instance }}/{{ end }}',
  // Where the alert is that this agent is gone: another one that answers.
  local anyAgentUrl =
    '{{ with query `ajar:agent_info:held and on (job, instance) ajar_build_info` }}' +
    '{{ . | sortByLabel "instance" | first | label "url" }}{{ else }}http://127.0.0.1:9925/{{ end }}',

  local from =
    '{{ with query (printf `ajar:agent_info:held{job=%q,instance=%q}` $labels.job $labels.instance) }}' +
    '{{ with . | first | label "vantage" }}, seen from {{ . }}{{ end }}{{ end }}',

  local since(series) =
    '{{ with query (printf `last_over_time(%s{job=%%q,instance=%%q,target=%%q,address=%%q,port=%%q,transport=%%q,check=%%q}[1d])` ' % series +
    '$labels.job $labels.instance $labels.target $labels.address $labels.port $labels.transport $labels.check) }}' +
    '{{ . | first | value | humanizeTimestamp }}{{ else }}not known{{ end }}',

  local owner = '{{ with $labels.owner }}{{ . }}{{ else }}nobody (no owner is configured){{ end }}',
  local endpoint = '{{ $labels.address }} port {{ $labels.port }}/{{ $labels.transport }} ({{ $labels.check }})',

  local dashboard(which, more='') =
    '%s/d/%s?var-job={{ $labels.job }}&var-instance={{ $labels.instance | urlquery }}%s' %
    [config.grafanaUrl, config.dashboardUids[which], more],
  local ofTarget = '&var-target={{ $labels.target }}',

  local pages = {
    result: agentUrl + 'targets/{{ $labels.target }}?check={{ $labels.check }}&address={{ $labels.address | urlquery }}' +
            '&port={{ $labels.port }}&transport={{ $labels.transport }}',
    target: agentUrl + 'targets/{{ $labels.target }}',
    zones: agentUrl + 'zones',
    config: agentUrl + 'config',
    now: agentUrl,
    any: anyAgentUrl,
  },

  // evidence: which of `pages`; with 'any' the runbook is another agent's too.
  local alert(name, severity, expr, annotations, evidence, dashboardUrl, duration=null, labels={}) =
    {
      alert: name,
      expr: expr,
      labels: { severity: severity } + labels,
      annotations: {
        summary: annotations.summary,
        description: std.join(' ', annotations.description),
        runbook_url:
          (if config.runbookUrl != '' then config.runbookUrl + '/'
           else (if evidence == 'any' then anyAgentUrl else agentUrl) + 'runbooks/') + name,
        evidence_url: pages[evidence],
        dashboard_url: dashboardUrl,
      },
    } + (if duration == null then {} else { 'for': duration }),

  local listed(tier, severity, advice) = alert(
    'AjarListed',
    severity,
    'ajar:dnsbl_listed:held{tier="%s"} > 0' % tier,
    {
      summary: '{{ $labels.address }} of {{ $labels.target }} is listed in {{ $labels.zone }}',
      description: [
        'Owner: ' + owner + '.',
        'The database {{ $labels.zone }} lists {{ $labels.address }} (tier {{ $labels.tier }}).',
        'That is what others say, not a proof: no open door has to be behind it.',
        advice,
      ],
    },
    'target',
    dashboard('target', ofTarget),
  ),

  prometheusAlerts+:: {
    groups+: [
      {
        name: 'ajar.doors',
        interval: '1m',
        rules: [
          // No `for`: a proof counts at once, and a door that is proven is abused within minutes.
          alert(
            'AjarDoorOpen',
            'critical',
            'ajar:exposure_level:held == 4',
            {
              summary: '{{ $labels.target }} is open, proven: ' + endpoint,
              description: [
                'Owner: ' + owner + '.',
                'A stranger got through ' + endpoint + ' of {{ $labels.target }} ({{ $labels.host }})' + from + ':',
                'what ajar sent arrived at its own listener. This is certain.',
                'Open since ' + since('ajar_exposure_first_seen_timestamp_seconds') + '.',
                'First: close it (block the port at the firewall if nothing is quicker), then read the evidence.',
              ],
            },
            'result',
            dashboard('target', ofTarget),
          ),
          alert(
            'AjarDoorAccepted',
            'warning',
            'ajar:exposure_level:held == 3',
            {
              summary: '{{ $labels.target }} said yes to a stranger, not proven: ' + endpoint,
              description: [
                'Owner: ' + owner + '.',
                endpoint + ' of {{ $labels.target }} ({{ $labels.host }}) agreed to carry what it should refuse' + from + ',',
                'but nothing has come back in %s. It may throw it away, or hold it in a queue: likely, not certain.' %
                config.acceptedFor,
                'Said yes since ' + since('ajar_exposure_first_seen_timestamp_seconds') + '.',
                'First: look for the test message in its queue and log.',
              ],
            },
            'result',
            dashboard('target', ofTarget),
            config.acceptedFor,
          ),
          // The 0 that the held level shows once when a case ends, and the agent's own count: an exemption that ends is no reopening.
          alert(
            'AjarDoorReopened',
            'warning',
            |||
              ajar:exposure_level:held >= 3
              and
              min_over_time(ajar:exposure_level:held[%(range)s]) == 0
              and on (job, instance, check, owner)
              increase(ajar_exposures_reopened_total[%(range)s]) > 0
            ||| % { range: config.reopenedRange },
            {
              summary: '{{ $labels.target }} is exposed again: ' + endpoint,
              description: [
                'Owner: ' + owner + '.',
                endpoint + ' of {{ $labels.target }} ({{ $labels.host }}) was closed, and within a day it said yes again' + from + '.',
                'What ajar saw is as certain as the alert beside this one says; that the repair did not last is certain.',
                'The case goes back to ' + since('ajar_exposure_first_seen_timestamp_seconds') + '.',
                'First: find what undid the repair (a restart, configuration management, a second server behind the address).',
              ],
            },
            'result',
            dashboard('target', ofTarget),
          ),
          alert(
            'AjarListedAndOpen',
            'critical',
            |||
              max by (job, instance, target, address, owner, host) (ajar:exposure_level:held == 4)
              and on (job, instance, target, address)
              ajar:dnsbl_listed:held > 0
            |||,
            {
              summary: '{{ $labels.address }} of {{ $labels.target }} is open and already listed',
              description: [
                'Owner: ' + owner + '.',
                '{{ $labels.address }} of {{ $labels.target }} ({{ $labels.host }}) is proven open' + from + ',',
                'and a public database lists it: it is probably being abused now.',
                'The opening is certain, the abuse is likely.',
                'First: close it, stop its outgoing mail, look at the queue. Ask for delisting only after ajar says closed.',
              ],
            },
            'target',
            dashboard('target', ofTarget),
          ),
          alert(
            'AjarCannotTell',
            'warning',
            'ajar:unknown_results:held > 0',
            {
              summary: '{{ $labels.target }}: {{ $labels.check }} cannot be judged',
              description: [
                'Owner: ' + owner + '.',
                '{{ $value }} result(s) of {{ $labels.check }} on {{ $labels.target }} ({{ $labels.host }}) have said neither yes nor no',
                'for %s' % config.cannotTellFor + from + '. Nothing is known: it may be closed, and it may be open.',
                'First: read the reason on the evidence page. Most often the agent is blocked, greylisted, or the server is down.',
              ],
            },
            'target',
            dashboard('target', ofTarget),
            config.cannotTellFor,
          ),
          alert(
            'AjarResultStale',
            'warning',
            'ajar:stale_results:held > 0',
            {
              summary: '{{ $labels.target }} was not asked when it should have been',
              description: [
                'Owner: ' + owner + '.',
                '{{ $value }} result(s) of {{ $labels.target }} ({{ $labels.host }}) are overdue by more than an hour, or their last',
                'conclusive answer is more than two days old. What the dashboards show of it is history; that it is history is certain.',
                'First: is the agent busy (schedule lag)? Then ask this target by hand.',
              ],
            },
            'target',
            dashboard('target', ofTarget),
            config.staleFor,
          ),
          alert(
            'AjarExemptionExpiring',
            'info',
            'ajar:exemption_expiry:held > 0',
            {
              summary: 'The exemption of {{ $labels.target }} for {{ $labels.check }} ends soon',
              description: [
                'Owner: ' + owner + '.',
                'The exemption of {{ $labels.target }} for {{ $labels.check }} ends at {{ $value | humanizeTimestamp }}.',
                'After that, what is open there alerts like anything else. This is certain.',
                'First: ask who is named in the exemption whether the reason still holds; close the door, or renew it.',
              ],
            },
            'target',
            dashboard('target', ofTarget),
          ),
        ],
      },
      {
        name: 'ajar.listings',
        interval: '1m',
        rules: [
          listed('page', 'critical', 'First: ask ajar for proof at once (ajar check), and look at the outgoing queue.'),
          listed('ticket', 'warning', 'First: ask ajar for proof (ajar check), then read the reason that the database gives.'),
          listed('info', 'info', 'First: read the reason; such databases list neighbours and whole networks too.'),
          alert(
            'AjarSuspicionConfirmed',
            'warning',
            'ajar:suspicions_confirmed:held > 0',
            {
              summary: '{{ $value }} outside reports from {{ $labels.source }} are confirmed',
              description: [
                '{{ $labels.source }} reported servers of ours, and ajar proved {{ $value }} of the reports' + from + '.',
                'This is certain; an open door has its own alert.',
                'First: close what is open, then ask why somebody else saw it first: was it in no target, or in none for that port?',
              ],
            },
            'now',
            dashboard('detail'),
          ),
          alert(
            'AjarZoneBroken',
            'info',
            'ajar:zone_broken:held > 0',
            {
              summary: 'The database {{ $labels.zone }} gives no usable answers',
              description: [
                "{{ $labels.zone }} has failed the agent's test for %s: it is empty, lists the whole world, times out, or its name" %
                config.zoneBrokenFor,
                'was taken over. Its answers are not believed, and listings that it made before are kept for a day. This is certain.',
                'First: read its state; a database that has shut down for good belongs out of the configuration.',
              ],
            },
            'zones',
            dashboard('agent'),
            config.zoneBrokenFor,
          ),
          alert(
            'AjarResolverRefused',
            'warning',
            'ajar:resolver_refused:held > 0',
            {
              summary: '{{ $labels.zone }} refuses our resolver',
              description: [
                '{{ $labels.zone }} has refused to answer the resolver of {{ $labels.instance }} for %s:' % config.resolverRefusedFor,
                'a public or shared resolver, too many questions, or a missing key. Whether we are listed there is not known.',
                'First: use a resolver of your own (dnsbl.resolvers), or a key.',
              ],
            },
            'zones',
            dashboard('agent'),
            config.resolverRefusedFor,
          ),
        ],
      },
      {
        name: 'ajar.agent',
        interval: '1m',
        rules: [
          alert(
            'AjarCoverageLow',
            'warning',
            'ajar:uncovered_fast:held > 0',
            {
              summary: '{{ $value | humanizePercentage }} of the {{ $labels.check }} results are not known',
              description: [
                'Over the last %s, {{ $value | humanizePercentage }} of the results of {{ $labels.check }} at {{ $labels.instance }}' %
                config.coverageFast.window,
                'had no conclusive answer that is recent' + from + '. Doors may be open unseen. This is certain.',
                'First: is the canary up, is the vantage blocked, does the agent lag?',
              ],
            },
            'now',
            dashboard('agent'),
            config.coverageFast['for'],
            { burn: 'fast' },
          ),
          alert(
            'AjarCoverageLow',
            'info',
            'ajar:uncovered_slow:held > 0',
            {
              summary: '{{ $value | humanizePercentage }} of the {{ $labels.check }} results are not known, since a day',
              description: [
                'Over the last %s, {{ $value | humanizePercentage }} of the results of {{ $labels.check }} at {{ $labels.instance }}' %
                config.coverageSlow.window,
                'had no conclusive answer that is recent' + from + '. This is certain.',
                'First: list what is unclear or unreachable and repair the commonest reason.',
              ],
            },
            'now',
            dashboard('agent'),
            config.coverageSlow['for'],
            { burn: 'slow' },
          ),
          alert(
            'AjarCanaryDown',
            'warning',
            'ajar:canary_down:held > 0',
            {
              summary: 'The canary ({{ $labels.kind }}) of {{ $labels.instance }} cannot be reached',
              description: [
                'For %s the agent has not reached its own {{ $labels.kind }} listener through the address that it advertises.' %
                config.canaryDownFor,
                'Nothing can be proven through it: an open door is shown as accepted at most, and no message is sent. This is certain.',
                'First: the firewall in front of the canary, then its process.',
              ],
            },
            'now',
            dashboard('agent'),
            config.canaryDownFor,
          ),
          alert(
            'AjarVantageBlocked',
            'warning',
            'ajar:vantage_down:held > 0',
            {
              summary: '{{ $labels.instance }} does not see what a stranger sees ({{ $labels.kind }})',
              description: [
                "The agent's test of its own vantage, {{ $labels.kind }}, has failed for %s." % config.vantageBlockedFor,
                "Answers from here may be the network's and not the servers': closed is less sure than it looks, open stays open.",
                'First: ask the provider whether port 25 is filtered or a proxy answers in between; is our address listed?',
              ],
            },
            'now',
            dashboard('agent'),
            config.vantageBlockedFor,
          ),
          alert(
            'AjarAgentDown',
            'warning',
            |||
              last_over_time(up{job=~"%s"}[15m]) == 0
              or
              (last_over_time(up[15m]) == 0 and on (job, instance) last_over_time(ajar_build_info[7d]))
            ||| % config.agentJobs,
            {
              summary: 'The agent {{ $labels.instance }} does not answer',
              description: [
                'Prometheus has not reached the agent {{ $labels.instance }} ({{ $labels.job }}) for %s.' % config.agentDownFor,
                'Nothing is watched from there; alerts of doors hold what was known before. This is certain.',
                'First, on its host: systemctl status ajar; journalctl -u ajar -n 50.',
              ],
            },
            'any',
            dashboard('agent'),
            config.agentDownFor,
          ),
          // Without `up` for ajar's agents (a federated or pushed setup) the first half has nothing to say: see README.md.
          alert(
            'AjarAgentAbsent',
            'critical',
            |||
              (
                group by (job, instance) (last_over_time(ajar_build_info[%(gone)s]))
                unless on (job, instance) up
              )
              or
              absent_over_time(ajar_build_info[%(gone)s])
            ||| % { gone: config.goneAfter },
            {
              summary:
                '{{ with $labels.instance }}The agent {{ . }} is no longer scraped{{ else }}No ajar agent is scraped at all{{ end }}',
              description: [
                "{{ with $labels.instance }}The agent {{ . }} has gone from Prometheus' targets{{ else }}" +
                'Prometheus has heard of no ajar agent for a day{{ end }}:',
                'nobody asks whether a door is open, and no other alert of ajar can fire for it. This is certain.',
                'First: the scrape configuration and its discovery file; was the agent moved on purpose?',
              ],
            },
            'any',
            config.grafanaUrl + '/d/' + config.dashboardUids.agent,
            config.agentAbsentFor,
          ),
          alert(
            'AjarConfigReloadFailed',
            'warning',
            'ajar:reload_failed:held > 0',
            {
              summary: '{{ $labels.instance }} runs with an old configuration',
              description: [
                'The last reload at {{ $labels.instance }} failed, for more than %s. The agent goes on with what it had:' %
                config.reloadFailedFor,
                'new targets are not asked. This is certain.',
                'First: ajar run --config /etc/ajar/ajar.toml --config.check says what is wrong, with line and remedy.',
              ],
            },
            'config',
            dashboard('agent'),
            config.reloadFailedFor,
          ),
          alert(
            'AjarScheduleLag',
            'warning',
            'ajar:schedule_lag:held > 0',
            {
              summary: '{{ $labels.instance }} asks late, by {{ $value | humanizeDuration }}',
              description: [
                'Probes at {{ $labels.instance }} have begun {{ $value | humanizeDuration }} late, for %s.' % config.scheduleLagFor,
                'An open door is seen as much later. This is certain.',
                "First: concurrency and connections_per_second against the number of endpoints; slow servers; the host's CPU.",
              ],
            },
            'now',
            dashboard('agent'),
            config.scheduleLagFor,
          ),
          alert(
            'AjarPaused',
            'warning',
            'ajar:paused:held > 0',
            {
              summary: '{{ $labels.instance }} has been paused for %s' % config.pausedFor,
              description: [
                'Somebody paused {{ $labels.instance }} (POST /-/pause), and it has not gone on for %s.' % config.pausedFor,
                'Nothing is asked. This is certain.',
                'First: ask who paused it and why; then curl -X POST http://{{ $labels.instance }}/-/resume.',
              ],
            },
            'now',
            dashboard('agent'),
            config.pausedFor,
          ),
          alert(
            'AjarQuarantined',
            'warning',
            'ajar:quarantined:held > 0',
            {
              summary: '{{ $labels.target }}: ' + endpoint + ' crashed the agent twice and is not asked',
              description: [
                'Owner: ' + owner + '.',
                'What ' + endpoint + ' of {{ $labels.target }} ({{ $labels.host }}) said crashed {{ $labels.instance }} twice' + from + ',',
                'the second time while nothing else was asked. It is left out, so a door there would not be seen; the rest goes on.',
                'This is certain, and a fault of ajar.',
                'First: journalctl -u ajar for both crashes, and report them; look at that server: it may be hostile.',
              ],
            },
            'result',
            dashboard('agent'),
          ),
          alert(
            'AjarSeriesCut',
            'warning',
            'ajar:series_cut:held > 0',
            {
              summary: '{{ $labels.instance }} leaves {{ $value }} series out of its metrics',
              description: [
                'The metrics of {{ $labels.instance }} would have more series than --web.max-series allows, for %s;' % config.seriesCutFor,
                '{{ $value }} of them are left out: details first, never the level of what is accepted or open.',
                'Alerts that rest on what is left out say nothing. This is certain.',
                'First: raise --web.max-series, or set metrics.detail = "targets"; ajar_metrics_series_cut says what is missing.',
              ],
            },
            'now',
            dashboard('agent'),
            config.seriesCutFor,
          ),
          alert(
            'AjarBudgetUsedUp',
            'warning',
            'ajar:budget_used_up:held > 0',
            {
              summary: '{{ $labels.instance }} leaves {{ $value }} addresses alone: their budget of a day is used up',
              description: [
                '{{ $labels.instance }} has not probed {{ $value }} addresses for %s, because it has made as many connections' % config.budgetUsedUpFor,
                'to them, or moved as many bytes, as agent.daily_connections_per_address and agent.daily_bytes_per_address allow in a day.',
                'What is known of them is kept, and grows old. This is certain.',
                'First: the log names the addresses and says until when; then a longer interval for them, or a larger budget.',
              ],
            },
            'now',
            dashboard('agent'),
            config.budgetUsedUpFor,
          ),
          alert(
            'AjarNetworkSlowed',
            'warning',
            'ajar:network_slowed:held > 0',
            {
              summary: '{{ $labels.instance }} asks {{ $value }} networks slowly: they have fallen silent',
              description: [
                'In {{ $value }} networks (/24, /64) less than half as many addresses answer {{ $labels.instance }} as used to, for %s;' % config.networkSlowedFor,
                'it asks them at down to a sixteenth of their rate. Either they are down, or something there keeps it out: a ban, a full table.',
                'What is certain is the silence.',
                'First: the log names the networks; ask one of their servers from elsewhere.',
              ],
            },
            'now',
            dashboard('agent'),
            config.networkSlowedFor,
          ),
          alert(
            'AjarDiscoveryDown',
            'warning',
            'ajar:discovery_down:held > 0',
            {
              summary: '{{ $labels.instance }} goes by an old list of targets: {{ $labels.source }}',
              description: [
                'The discovery "{{ $labels.source }}" of {{ $labels.instance }} has failed for %s.' % config.discoveryDownFor,
                'The targets of its last good list are asked on; a server that is new since then is not, and a door there would not be seen.',
                'This is certain.',
                'First: the log of the agent says what is wrong with that list.',
              ],
            },
            'now',
            dashboard('agent'),
            config.discoveryDownFor,
          ),
          alert(
            'AjarCertificateExpiring',
            'warning',
            'ajar:certificate_expiry:held > 0',
            {
              summary: 'The certificate of {{ $labels.instance }} ends soon',
              description: [
                "ajar's own certificate at {{ $labels.instance }} ends at {{ $value | humanizeTimestamp }}.",
                'After that Prometheus cannot scrape it, and every alert goes quiet but AjarAgentDown. This is certain.',
                'First: renew it and reload.',
              ],
            },
            'now',
            dashboard('agent'),
          ),
          alert(
            'AjarWatchdog',
            'info',
            'vector(1)',
            {
              summary: 'The way from Prometheus to you works',
              description: [
                'This alert always fires. Send it to a service that calls you when it stops: then Prometheus, Alertmanager',
                'or the way between them is broken, and no other alert of ajar would reach you.',
              ],
            },
            'any',
            config.grafanaUrl + '/d/' + config.dashboardUids.overview,
          ),
        ],
      },
    ],
  },
}
