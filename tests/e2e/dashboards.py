#!/usr/bin/env python3
"""dashboards.py PROMETHEUS DASHBOARDS: a real Prometheus answers every query that the dashboards of the folder DASHBOARDS ask it.

Each query of each panel and each variable is asked as Grafana asks it, with everything chosen. Every panel must show something, but for
those below. The Prometheus is that of alerting_test.cc: what is expected here, its agent and its servers make true."""
import json
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# Nothing to show here: no address on loopback is looked up in databases.
EMPTY = {
    'ajar-detail': {'Listings beside proof', 'What the databases say', 'Outside reports'},
    'ajar-overview': {'Listed addresses', 'Listed in public databases'},
    'ajar-target': {'Listed in databases', 'What the databases say'},
}
# Shown for the moment between two probes only.
PASSING = {'ajar-detail': {'A second probe must confirm'}}
# What a panel's first query counts.
VALUES = {
    ('ajar-overview', 'Open now, proven'): 1,
    ('ajar-overview', 'Said yes, not proven'): 1,
    ('ajar-overview', 'Not known'): 1,
    ('ajar-target', 'State'): 4,
    ('ajar-agent', 'Agents'): 1,
    ('ajar-agent', 'Canary'): 1,
    ('ajar-agent', 'Probing'): 0,
}
# Seconds that a graph looks back, and between its points.
SPAN, STEP = 60, 5


def chosen(text):
    for name, value in (('__rate_interval', '30s'), ('__range', '1m'), ('__interval', '10s')):
        text = text.replace('$' + name, value)
    return re.sub(r'\$(?!\d)\{?\w+(:\w+)?\}?', '.*', text)


class Asker:
    def __init__(self, prometheus):
        self.prometheus = prometheus
        self.failures = 0

    def say(self, where, what):
        print(f'{where}: {what}')
        self.failures += 1

    # The series or label values; none, and a word about it, where Prometheus has something against the question.
    def ask(self, where, path, **parameters):
        url = f'{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}'
        try:
            with urllib.request.urlopen(url, timeout=20) as reply:
                answer = json.load(reply)
        except urllib.error.HTTPError as error:
            self.say(where, f'{error}: {error.read().decode()}: {parameters}')
            return []
        for warning in answer.get('warnings', []):
            self.say(where, f'{warning}: {parameters}')
        data = answer['data']
        return data['result'] if isinstance(data, dict) else data

    def query(self, where, target, end):
        expr = chosen(target['expr'])
        if target.get('instant'):
            return self.ask(where, 'query', query=expr, time=end)
        return self.ask(where, 'query_range', query=expr, start=end - SPAN, end=end, step=STEP)

    def panel(self, uid, panel, end):
        where = f"{uid}: panel \"{panel['title']}\""
        answers = [self.query(f"{where}, query {target['refId']}", target, end) for target in panel['targets']]
        empty = panel['title'] in EMPTY.get(uid, ())
        if empty and any(answers):
            self.say(where, 'shows something: it does not belong to the empty ones')
        if not empty and panel['title'] not in PASSING.get(uid, ()) and not any(answers):
            self.say(where, 'shows nothing')
        wanted = VALUES.get((uid, panel['title']))
        if wanted is not None and [float(series['value'][1]) for series in answers[0][:1]] != [wanted]:
            self.say(where, f'is {answers[0]}, not {wanted}')

    def variable(self, uid, variable):
        if variable['type'] == 'datasource':
            return
        where = f"{uid}: variable {variable['name']}"
        query = variable['query']['query']
        values = re.fullmatch(r'label_values\((.*), (\w+)\)', query)
        if values:
            found = self.ask(where, f'label/{values.group(2)}/values', **{'match[]': chosen(values.group(1))})
        else:
            found = self.ask(where, 'query', query=chosen(re.fullmatch(r'query_result\((.*)\)', query).group(1)))
        if not found:
            self.say(where, f'has no values: {query}')

    def dashboard(self, dashboard, end):
        uid = dashboard['uid']
        titles = {panel['title'] for panel in dashboard['panels']}
        named = EMPTY.get(uid, set()) | PASSING.get(uid, set()) | {title for of, title in VALUES if of == uid}
        for title in sorted(named - titles):
            self.say(uid, f'has no panel "{title}"')
        for variable in dashboard['templating']['list']:
            self.variable(uid, variable)
        for panel in dashboard['panels']:
            self.panel(uid, panel, end)
        return len(dashboard['panels'])


def main():
    prometheus, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    asker = Asker(prometheus)
    end = time.time()
    panels = sum(asker.dashboard(json.loads(path.read_text()), end) for path in sorted((folder / 'grafana').glob('*.json')))
    if not panels:
        asker.say(folder, 'has no dashboards')
    print(f'{panels} panels, {asker.failures} failures')
    return 1 if asker.failures else 0


if __name__ == '__main__':
    sys.exit(main())
