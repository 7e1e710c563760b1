// Panels as Grafana 10 reads them. A panel has its width and height here; layout() gives it its place and number.
{
  local datasource = { type: 'prometheus', uid: '${datasource}' },

  colours: { closed: 'green', unreachable: 'blue', unclear: 'yellow', accepted: 'orange', open: 'red' },

  // Every colour is a word as well, for the print and for who does not see it.
  levels: [{
    type: 'value',
    options: {
      '0': { text: 'closed', color: $.colours.closed, index: 0 },
      '1': { text: 'unreachable', color: $.colours.unreachable, index: 1 },
      '2': { text: 'unclear', color: $.colours.unclear, index: 2 },
      '3': { text: 'accepted', color: $.colours.accepted, index: 3 },
      '4': { text: 'open', color: $.colours.open, index: 4 },
    },
  }],
  words(texts):: [{ type: 'value', options: texts }],
  word(text, colour, index=0):: { text: text, color: colour, index: index },
  fromTo(from, to, text, colour):: { type: 'range', options: { from: from, to: to, result: { text: text, color: colour, index: 9 } } },

  steps(base, more=[]):: {
    mode: 'absolute',
    steps: [{ color: base, value: null }] + [{ color: step[1], value: step[0] } for step in more],
  },

  query(expr, legend='', more={}):: { expr: std.rstripChars(expr, '\n'), legendFormat: legend } + more,
  now(expr, legend='', more={}):: self.query(expr, legend, { instant: true, range: false } + more),
  rows(expr):: self.now(expr, '', { format: 'table' }),

  local panel(type, title, description, unit, queries, w, h) = {
    type: type,
    title: title,
    description: description,
    datasource: datasource,
    w:: w,
    h:: h,
    targets: [
      { datasource: datasource, refId: std.char(std.codepoint('A') + i), editorMode: 'code', instant: false, range: true } + queries[i]
      for i in std.range(0, std.length(queries) - 1)
    ],
    fieldConfig: { defaults: { unit: unit, mappings: [], thresholds: $.steps('text') }, overrides: [] },
    options: {},
  },

  // No answer is neither good nor bad news.
  unknown: '#808080',

  // One big number. nothing: what stands there when there is no series at all. Without a colour of its own it would have that of zero.
  stat(title, description, unit, queries, w, h, thresholds, nothing, mappings=[], more={}, nothingIs=$.unknown)::
    panel('stat', title, description, unit, queries, w, h) + {
      fieldConfig+: {
        defaults+: {
          thresholds: thresholds,
          noValue: nothing,
          mappings: mappings + [{ type: 'special', options: { match: 'null', result: $.word(nothing, nothingIs, 10) } }],
          color: { mode: 'thresholds' },
        },
      },
      options: {
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
        colorMode: 'background',
        graphMode: 'none',
        textMode: 'auto',
        justifyMode: 'center',
        orientation: 'auto',
      },
    } + more,

  timeseries(title, description, unit, queries, w, h, more={})::
    panel('timeseries', title, description, unit, queries, w, h) + {
      fieldConfig+: {
        defaults+: {
          color: { mode: 'palette-classic' },
          min: 0,
          custom: {
            drawStyle: 'line',
            lineInterpolation: 'stepAfter',
            lineWidth: 1,
            fillOpacity: 10,
            showPoints: 'never',
            spanNulls: false,
            stacking: { mode: 'none', group: 'A' },
            axisPlacement: 'auto',
          },
        },
      },
      options: {
        legend: { displayMode: 'table', placement: 'bottom', showLegend: true, calcs: ['lastNotNull', 'max'] },
        tooltip: { mode: 'multi', sort: 'desc' },
      },
    } + more,
  stacked:: { fieldConfig+: { defaults+: { custom+: { stacking: { mode: 'normal', group: 'A' }, fillOpacity: 60 } } } },
  bars:: { fieldConfig+: { defaults+: { custom+: { drawStyle: 'bars', fillOpacity: 80, lineInterpolation: 'linear' } } } },
  // Its own span of time, whatever the dashboard shows.
  over(span, step):: { timeFrom: span, interval: step },

  // A port is no quantity; and what Grafana gives each column by itself is more than these need, or less.
  local addressColumns = {
    address: $.column('address', { 'custom.minWidth': 120 }),
    port: $.column('port', { unit: 'string', 'custom.width': 60 }),
    transport: $.column('transport', { 'custom.width': 85 }),
  },

  // values: names of the queries' values, in their order. hide: columns that only links use, or nobody.
  table(title, description, unit, queries, w, h, values, order, overrides, nothing, more={})::
    local renamed = { [if std.length(values) == 1 then 'Value' else 'Value #' + std.char(std.codepoint('A') + i)]: values[i] for i in std.range(0, std.length(values) - 1) };
    panel('table', title, description, unit, queries, w, h) + {
      fieldConfig+: {
        defaults+: { noValue: nothing, custom: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false, minWidth: 90 } },
        overrides: [addressColumns[name] for name in order if std.objectHas(addressColumns, name)] + overrides,
      },
      options: { showHeader: true, cellHeight: 'sm', footer: { show: false, reducer: ['sum'], countRows: false, fields: '' } },
      transformations: [
        { id: 'merge', options: {} },
        {
          id: 'organize',
          options: {
            excludeByName: { Time: true, __name__: true, job: true, instance: true },
            indexByName: { [order[i]]: i for i in std.range(0, std.length(order) - 1) },
            renameByName: renamed,
          },
        },
      ],
    } + more,
  column(name, properties):: {
    matcher: { id: 'byName', options: name },
    properties: [{ id: id, value: properties[id] } for id in std.objectFields(properties)],
  },
  levelColumn(name):: self.column(name, {
    mappings: $.levels,
    'custom.cellOptions': { type: 'color-background', mode: 'basic' },
    'custom.minWidth': 95,
    unit: 'short',
  }),
  ageColumn(name):: self.column(name, { unit: 's', decimals: 0 }),
  timeColumn(name):: self.column(name, { unit: 'dateTimeFromNow', 'custom.minWidth': 135 }),
  hidden(name):: self.column(name, { 'custom.hidden': true }),
  linkColumn(name, title, url):: self.column(name, { links: [{ title: title, url: url, targetBlank: true }] }),
  sortBy(name, desc=true):: { options+: { sortBy: [{ displayName: name, desc: desc }] } },

  stateTimeline(title, description, unit, queries, w, h, mappings, more={})::
    panel('state-timeline', title, description, unit, queries, w, h) + {
      fieldConfig+: {
        defaults+: {
          mappings: mappings,
          color: { mode: 'thresholds' },
          custom: { fillOpacity: 80, lineWidth: 0, spanNulls: false },
          noValue: 'nothing to show',
        },
      },
      options: {
        mergeValues: true,
        showValue: 'auto',
        alignValue: 'left',
        rowHeight: 0.85,
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
        tooltip: { mode: 'single', sort: 'none' },
      },
    } + more,

  heatmap(title, description, unit, queries, w, h, more={})::
    panel('heatmap', title, description, unit, queries, w, h) + {
      fieldConfig+: { defaults+: { custom: { hideFrom: { legend: false, tooltip: false, viz: false }, scaleDistribution: { type: 'linear' } } } },
      options: {
        calculate: false,
        cellGap: 1,
        color: { mode: 'scheme', scheme: 'Oranges', exponent: 0.5, fill: 'dark-orange', reverse: false, scale: 'exponential', steps: 64 },
        exemplars: { color: 'rgba(31,96,196,0.9)' },
        filterValues: { le: 1e-9 },
        legend: { show: true },
        rowsFrame: { layout: 'auto' },
        tooltip: { show: true, yHistogram: false },
        yAxis: { axisPlacement: 'left', reverse: false, unit: unit },
      },
    } + more,

  // Rows of panels, top to bottom, left to right.
  layout(rows)::
    local heights = [std.foldl(std.max, [p.h for p in row], 0) for row in rows];
    local y(r) = std.foldl(function(a, b) a + b, heights[:r], 0);
    local before(r) = std.foldl(function(a, b) a + b, [std.length(row) for row in rows[:r]], 0);
    std.flattenArrays([
      [
        local p = rows[r][i];
        p { id: before(r) + i + 1, gridPos: { x: std.foldl(function(a, b) a + b, [q.w for q in rows[r][:i]], 0), y: y(r), w: p.w, h: p.h } }
        for i in std.range(0, std.length(rows[r]) - 1)
      ]
      for r in std.range(0, std.length(rows) - 1)
    ]),

  // Variables.
  local variable(name, label, query, more={}) = {
    name: name,
    label: label,
    type: 'query',
    datasource: datasource,
    query: { query: query, refId: 'PrometheusVariableQueryEditor-VariableQuery' },
    refresh: 2,
    sort: 1,
    hide: 0,
    skipUrlSync: false,
    options: [],
    regex: '',
    multi: true,
    includeAll: true,
    current: { selected: true, text: ['All'], value: ['$__all'] },
  } + more,
  variables: {
    datasource: {
      name: 'datasource',
      label: 'Prometheus',
      type: 'datasource',
      query: 'prometheus',
      regex: '',
      refresh: 1,
      hide: 0,
      includeAll: false,
      multi: false,
      options: [],
      current: { text: '', value: '' },
      skipUrlSync: false,
    },
    // No allValue for job and instance: "all" must mean ajar's, also for `up`.
    job: variable('job', 'Job', 'label_values(ajar_build_info, job)'),
    vantage: variable('vantage', 'Vantage', 'label_values(ajar_agent_info{job=~"$job"}, vantage)', { allValue: '.*' }),
    instance: variable('instance', 'Agent', 'label_values(ajar_agent_info{job=~"$job", vantage=~"$vantage"}, instance)'),
    owner: variable('owner', 'Owner', 'label_values(ajar_target_info{job=~"$job", instance=~"$instance"}, owner)', { allValue: '.*' }),
    check: variable('check', 'Check', 'label_values(ajar_results{job=~"$job", instance=~"$instance"}, check)', { allValue: '.*' }),
    target: variable(
      'target',
      'Target',
      'label_values(ajar_target_info{job=~"$job", instance=~"$instance", owner=~"$owner"}, target)',
      { allValue: '.*' }
    ),
    oneTarget: variable(
      'target',
      'Target',
      'label_values(ajar_target_info{job=~"$job", instance=~"$instance", owner=~"$owner"}, target)',
      { multi: false, includeAll: false, current: { text: '', value: '' } }
    ),
    // Where the pages of the (first) agent are; not shown.
    ajar(urls): variable(
      'ajar',
      'Pages of ajar',
      'query_result(%s)' % urls,
      { multi: false, includeAll: false, current: { text: '', value: '' }, hide: 2, regex: '/[{,]url="([^"]*)"/', skipUrlSync: true, sort: 0 }
    ),
  },

  dashboard(uid, title, description, tag, span, variables, links, rows):: {
    uid: uid,
    title: title,
    description: description,
    tags: [tag],
    schemaVersion: 38,
    version: 1,
    editable: true,
    graphTooltip: 1,
    timezone: 'utc',
    refresh: '1m',
    time: { from: span, to: 'now' },
    timepicker: {},
    fiscalYearStartMonth: 0,
    liveNow: false,
    weekStart: '',
    annotations: { list: [] },
    templating: { list: variables },
    links: links,
    panels: $.layout(rows),
  },
  links(tag, page, title):: [
    { type: 'dashboards', title: 'ajar', tags: [tag], asDropdown: false, includeVars: true, keepTime: true, icon: 'external link', targetBlank: false, tooltip: '', url: '' },
    { type: 'link', title: title, tags: [], url: page, asDropdown: false, includeVars: false, keepTime: false, icon: 'doc', targetBlank: true, tooltip: 'The page of the agent itself' },
  ],
}
