// Each file is a function of the configuration; its uid is its file's name.
{
  local config = $._config,

  grafanaDashboards+:: {
    [config.dashboardUids.overview + '.json']: (import 'overview.libsonnet')(config),
    [config.dashboardUids.detail + '.json']: (import 'detail.libsonnet')(config),
    [config.dashboardUids.agent + '.json']: (import 'agent.libsonnet')(config),
    [config.dashboardUids.target + '.json']: (import 'target.libsonnet')(config),
  },
}
