// The monitoring mixin: grafanaDashboards, prometheusRules, prometheusAlerts, and _config to change. render.py writes the files
// beside it for those who copy.
(import 'config.libsonnet') +
(import 'lib/rules.libsonnet') +
(import 'lib/alerts.libsonnet') +
(import 'lib/dashboards.libsonnet')
