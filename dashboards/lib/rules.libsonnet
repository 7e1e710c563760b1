// Recording rules. Most of them hold: what an agent said stays true while the agent does not answer.
//
// An alert on ajar_exposure_level itself would resolve when the agent restarts, and fire again. last_over_time alone would keep a door
// open after its series has gone for good: closed ports have no series. So each rule here says one of three things:
//
//   the value      the agent says so now;
//   the old value  the agent does not answer, or began to answer less than startGrace ago;
//   0, once        the agent answers, and it is no longer so. The 0 keeps a later gap from bringing the old value back.
//
// Whoever reads them compares with > 0.
{
  local config = $._config,

  local answers = |||
    (
      ajar_build_info
      unless on (job, instance) (time() - process_start_time_seconds < %d)
    )
  ||| % $.seconds(config.startGrace),

  local indent(text, by) = std.join('\n', [by + line for line in std.split(std.rstripChars(text, '\n'), '\n')]),

  // '2m' -> 120
  seconds(duration):: std.parseInt(std.substr(duration, 0, std.length(duration) - 1)) * {
    s: 1,
    m: 60,
    h: 3600,
    d: 86400,
  }[duration[std.length(duration) - 1]],

  local held(name, live) = {
    record: name,
    expr: |||
      (
      %(live)s
      )
      or
      (
        last_over_time(%(name)s[%(range)s]) > 0
        unless on (job, instance)
      %(answers)s
        and on (job, instance) (up or last_over_time(ajar_build_info[%(gone)s]))
      )
      or
      0 * (last_over_time(%(name)s[%(range)s]) > 0)
    ||| % {
      name: name,
      live: indent(live, '  '),
      answers: indent(answers, '  '),
      range: config.holdRange,
      gone: config.goneAfter,
    },
  },

  // Whose it is. The owner stands on ajar_target_info alone.
  local owned(expr) = |||
    (
    %s
    )
    * on (job, instance, target) group_left (owner, host) ajar_target_info
  ||| % indent(expr, '  '),

  // What is paused in the configuration grows old because somebody meant it to.
  local notPaused = 'unless on (job, instance, target) ajar_target_info{paused="true"}',

  local burn(window) = |||
    1 - avg_over_time(ajar_coverage_ratio[%(window)s]) > %(limit)s
    and
    1 - ajar_coverage_ratio > %(limit)s
    unless on (job, instance) ajar_paused == 1
  ||| % {
    window: window.window,
    // Through %.4g: 0.30000000000000004 is hard to read at night.
    limit: '%.4g' % (window.burn * (1 - config.coverageObjective)),
  },

  prometheusRules+:: {
    groups+: [
      {
        name: 'ajar.held',
        interval: '1m',
        rules: [
          // What the agent calls itself, and where its pages are: external_url, else where it is scraped.
          {
            record: 'ajar:agent_info:held',
            expr: |||
              label_replace(
                label_replace(ajar_agent_info, "url", "http://$1/", "instance", "(.*)"),
                "url", "$1/", "external_url", "(.*[^/])/*"
              )
              or
              (
                ajar:agent_info:held
                unless on (job, instance) ajar_agent_info
                and on (job, instance) (up or last_over_time(ajar_build_info[%s]))
              )
            ||| % config.goneAfter,
          },

          // Doors: 3 said yes, 4 proven. Without those that are exempt.
          held('ajar:exposure_level:held', owned(|||
            ajar_exposure_level >= 3
            unless on (job, instance, target, address, port, transport, check) ajar_exposure_exempt
          |||)),

          // Listings: 1. While a database is ill, its last answer holds; what it says now, in whatever tier, comes first.
          held('ajar:dnsbl_listed:held', owned(|||
            ajar_dnsbl_listed == 1
            or
            (
              last_over_time(ajar_dnsbl_listed[%s]) == 1
              unless on (job, instance, target, address, zone) ajar_dnsbl_listed
              and on (job, instance, zone) ajar_dnsbl_zone_state
            )
          ||| % config.listedRange)),

          // How many results of a target's check have no answer that says anything.
          held('ajar:unknown_results:held', owned(|||
            count by (job, instance, target, check) (ajar_exposure_level >= 1 < 3)
            %s
          ||| % notPaused)),

          // How many results of a target are overdue; a target whose oldest conclusive answer is too old, though it is not that
          // the answers say nothing, counts as one. Who paused the agent knows it (and AjarPaused reminds).
          held('ajar:stale_results:held', owned(|||
            (
              count by (job, instance, target) (time() - ajar_result_due_timestamp_seconds > %(overdue)d)
              or
              (
                (time() - ajar_target_last_conclusive_timestamp_seconds > bool %(conclusive)d) == 1
                unless on (job, instance, target) (ajar_exposure_level >= 1 < 3)
              )
            )
            %(notPaused)s
            unless on (job, instance) ajar_paused == 1
          ||| % { overdue: config.overdueSeconds, conclusive: config.conclusiveSeconds, notPaused: notPaused })),

          held('ajar:uncovered_fast:held', burn(config.coverageFast)),
          held('ajar:uncovered_slow:held', burn(config.coverageSlow)),

          // 1 while down.
          held('ajar:canary_down:held', '1 - ajar_canary_up > 0'),
          held('ajar:vantage_down:held', '1 - ajar_vantage_up > 0'),
          held('ajar:reload_failed:held', '1 - ajar_config_last_reload_successful > 0'),
          held('ajar:paused:held', 'ajar_paused > 0'),
          // 1 while a result is not asked because its answer crashed the agent.
          held('ajar:quarantined:held', owned('ajar_quarantined > 0')),
          // How many series a page leaves out.
          held('ajar:series_cut:held', 'sum by (job, instance) (ajar_metrics_series_cut) > 0'),

          // How many addresses are left alone for a day's budget, how many networks are asked more slowly than they might be.
          held('ajar:budget_used_up:held', 'ajar_pace_exhausted_addresses > 0'),
          held('ajar:network_slowed:held', 'ajar_pace_slowed_networks > 0'),

          // 1 while a list of targets cannot be had, or not be read.
          held('ajar:discovery_down:held', '1 - ajar_discovery_up > 0'),

          // refused and blocked: it answers others, but not us. The rest: it is ill. untested: nobody has asked yet.
          held('ajar:zone_broken:held', |||
            max by (job, instance, zone) (
              ajar_dnsbl_zone_state{state=~"empty|lists_the_world|timeout|servfail|hijacked"}
            ) > 0
          |||),
          held('ajar:resolver_refused:held', |||
            max by (job, instance, zone) (ajar_dnsbl_zone_state{state=~"refused|blocked"}) > 0
          |||),

          held('ajar:suspicions_confirmed:held', 'ajar_suspicions{status="confirmed"} > 0'),

          // When they end, while that is near.
          held('ajar:exemption_expiry:held', owned(|||
            ajar_exemption_expiry_timestamp_seconds > time() < time() + %d
          ||| % (config.exemptionDays * 86400))),
          held('ajar:certificate_expiry:held', |||
            ajar_tls_certificate_expiry_timestamp_seconds > 0 < time() + %d
          ||| % (config.certificateDays * 86400)),

          // Seconds.
          held('ajar:schedule_lag:held', 'avg_over_time(ajar_schedule_lag_seconds[15m]) > %d' % config.scheduleLagSeconds),
        ],
      },
    ],
  },
}
