// What a team may want to change. Override it where the mixin is imported:
//   (import 'ajar/dashboards/mixin.libsonnet') + { _config+:: { grafanaUrl: 'https://grafana.example.net' } }
{
  _config+:: {
    // Where Grafana is, for dashboard_url. No slash at the end.
    grafanaUrl: 'http://127.0.0.1:3000',

    // Where the runbooks are, for runbook_url: the alert's name is put behind it. '': the agent's own pages.
    runbookUrl: '',

    // Which scrape jobs are ajar's, for AjarAgentDown; an agent that was seen in the last week is known without it.
    agentJobs: '.*ajar.*',

    // While an agent does not answer, and this long after it began to answer again, what was known before holds.
    startGrace: '2m',
    // How long a rule looks back for what it held: longer than any outage of Prometheus itself.
    holdRange: '6h',
    // An agent that Prometheus no longer scrapes at all is waited for this long.
    goneAfter: '1d',

    // A message may travel for canary.delivery_timeout (15m) before the agent says that no proof came.
    acceptedFor: '20m',
    // A case that begins again within a day of its end; the alert stays for so long.
    reopenedRange: '2d',
    // A listing holds while its database is ill.
    listedRange: '24h',

    // Two probes of the default interval and one to confirm.
    cannotTellFor: '3h',
    // How late a probe may be, and how old the oldest conclusive answer.
    overdueSeconds: 3600,
    conclusiveSeconds: 2 * 86400,
    staleFor: '1h',

    // Share of the results that must be known. Two burn rates of the rest: fast is answered today, slow this week.
    coverageObjective: 0.95,
    coverageFast: { burn: 6, window: '1h', 'for': '15m' },
    coverageSlow: { burn: 2, window: '1d', 'for': '1h' },

    canaryDownFor: '10m',
    vantageBlockedFor: '15m',
    zoneBrokenFor: '6h',
    resolverRefusedFor: '1h',
    agentDownFor: '10m',
    agentAbsentFor: '15m',
    reloadFailedFor: '5m',
    scheduleLagSeconds: 300,
    scheduleLagFor: '15m',
    pausedFor: '12h',
    seriesCutFor: '15m',
    budgetUsedUpFor: '15m',
    networkSlowedFor: '1h',
    discoveryDownFor: '1h',
    exemptionDays: 14,
    certificateDays: 14,

    // Put on every dashboard, so that they find each other.
    dashboardTag: 'ajar',
    dashboardUids: {
      overview: 'ajar-overview',
      detail: 'ajar-detail',
      agent: 'ajar-agent',
      target: 'ajar-target',
    },
  },
}
