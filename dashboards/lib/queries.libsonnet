// The selections that all dashboards share. $job, $instance, … are the dashboards' variables.
{
  agent: 'job=~"$job", instance=~"$instance"',
  ofTarget: self.agent + ', target=~"$target"',
  result: self.ofTarget + ', check=~"$check"',
  ofCheck: self.agent + ', check=~"$check"',
  ofOwner: self.ofCheck + ', owner=~"$owner"',

  key: 'job, instance, target, address, port, transport, check',

  // A series with the owner of its target, of the owners that are chosen; for tables of now.
  owned(expr):: '(%s)\n* on (job, instance, target) group_left (owner) ajar_target_info{%s, owner=~"$owner"}' % [expr, $.ofTarget],
  // The same as a filter alone: also good in ranges, where an owner may have changed.
  ofOwners(expr):: '(%s)\nand on (job, instance, target) ajar_target_info{%s, owner=~"$owner"}' % [expr, $.ofTarget],

  notExempt(expr):: '%s\nunless on (%s) ajar_exposure_exempt{%s}' % [expr, $.key, $.result],

  // 0 where an agent answers, so that "none" differs from "nobody looks".
  orZero(expr):: '%s\nor\n0 * count(ajar_build_info{%s})' % [expr, $.agent],

  // Where the agent's pages are, as the label url: external_url, else where it is scraped.
  url:
    'label_replace(label_replace(ajar_agent_info{%s}, "url", "http://$1/", "instance", "(.*)"), "url", "$1/", "external_url", "(.*[^/])/*")' %
    self.agent,
  linked(expr):: '(%s)\n* on (job, instance) group_left (url, vantage) %s' % [expr, $.url],

  evidence: '${__data.fields.url}targets/${__data.fields.target}?check=${__data.fields.check}&address=${__data.fields.address}' +
            '&port=${__data.fields.port}&transport=${__data.fields.transport}',
  page: '${__data.fields.url}targets/${__data.fields.target}',
}
