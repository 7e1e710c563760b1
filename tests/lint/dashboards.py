#!/usr/bin/env python3
"""dashboards.py [ROOT]: what Grafana would not say of dashboards/grafana/*.json until somebody looks at them at night.

Every panel has a title, a description, a unit, the datasource variable, an id and a place of its own; every expression parses, asks
only the agents that are chosen, and rates over $__rate_interval; every variable and every dashboard that is named exists. Expressions
are parsed by `promtool check rules`."""
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

TYPES = {'stat', 'timeseries', 'table', 'heatmap', 'state-timeline'}
DATASOURCE = {'type': 'prometheus', 'uid': '${datasource}'}
OURS = re.compile(r'\b((?:ajar|process|scrape)_\w+|up)\b(?!\s*[=!]~?")(\{[^}]*\})?')
RANGE = re.compile(r'\b(rate|irate|increase|delta)\s*\([^\[]*\[([^\]]*)\]')
BUILTIN = {'__all', '__rate_interval', '__range', '__interval', '__data', '__value', '__field'}
WIDTH = 24


def variables_in(text):
    # $name, ${name}, ${name:format}; ${__data.fields.x} names __data.
    return {match.group(1) for match in re.finditer(r'\$\{?(\w+)', text)}


def long_range(text):
    match = re.fullmatch(r'(\d+)([dwy])', text)
    return bool(match) and int(match.group(1)) >= 1


def strings(node):
    if isinstance(node, dict):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif isinstance(node, str):
        yield node


class Lint:
    def __init__(self, root):
        self.folder = root / 'dashboards' / 'grafana'
        self.failures = 0
        self.expressions = []  # (where, PromQL with the variables replaced)

    def say(self, where, what):
        print(f'dashboards/grafana/{where}: {what}')
        self.failures += 1

    def run(self):
        dashboards = {}
        for path in sorted(self.folder.glob('*.json')):
            dashboard = json.loads(path.read_text())
            if dashboard['uid'] in dashboards:
                self.say(path.name, f"the uid {dashboard['uid']} is taken")
            dashboards[dashboard['uid']] = dashboard
        for path in sorted(self.folder.glob('*.json')):
            self.dashboard(path.name, json.loads(path.read_text()), dashboards)
        self.parse()
        return self.failures

    def dashboard(self, name, dashboard, dashboards):
        if f"{dashboard['uid']}.json" != name:
            self.say(name, f"its uid is {dashboard['uid']}: the file should be named so")
        for key in ('title', 'description', 'tags'):
            if not dashboard.get(key):
                self.say(name, f'no {key}')
        if dashboard.get('id') is not None:
            self.say(name, 'an id belongs to one Grafana: take it out')
        known = {variable['name'] for variable in dashboard['templating']['list']} | BUILTIN
        for text in strings(dashboard):
            for missing in sorted(variables_in(text) - known):
                if not missing.isdigit():  # $1 of label_replace
                    self.say(name, f'no variable ${missing}: {text[:80]}')
            for uid in re.findall(r'/d/([\w-]+)', text):
                if uid not in dashboards:
                    self.say(name, f'no dashboard has the uid {uid}')
        for variable in dashboard['templating']['list']:
            self.variable(name, variable)
        seen = set()
        for panel in dashboard['panels']:
            where = f"{name}: panel \"{panel.get('title', panel.get('id'))}\""
            self.panel(where, panel)
            if panel.get('id') in seen:
                self.say(where, f"the id {panel.get('id')} is taken")
            seen.add(panel.get('id'))
        for one, other in itertools.combinations(dashboard['panels'], 2):
            if overlap(one['gridPos'], other['gridPos']):
                self.say(name, f"\"{one['title']}\" and \"{other['title']}\" overlap")

    def variable(self, name, variable):
        if variable['type'] == 'datasource':
            return
        where = f"{name}: variable {variable['name']}"
        if variable['datasource'] != DATASOURCE:
            self.say(where, 'does not use the datasource variable')
        query = variable['query']['query']
        values = re.fullmatch(r'label_values\((.*), (\w+)\)', query)
        result = re.fullmatch(r'query_result\((.*)\)', query)
        if not values and not result:
            self.say(where, f'neither label_values nor query_result: {query}')
            return
        self.expressions.append((where, (values or result).group(1)))

    def panel(self, where, panel):
        if panel.get('type') not in TYPES:
            self.say(where, f"type {panel.get('type')}: one of {', '.join(sorted(TYPES))}")
        for key in ('title', 'description'):
            if not panel.get(key):
                self.say(where, f'no {key}')
        if not panel.get('fieldConfig', {}).get('defaults', {}).get('unit'):
            self.say(where, 'no unit')
        if panel.get('type') in ('stat', 'table') and not panel['fieldConfig']['defaults'].get('noValue'):
            self.say(where, 'nothing is said when there is no data (noValue)')
        place = panel['gridPos']
        if place['x'] < 0 or place['x'] + place['w'] > WIDTH:
            self.say(where, f"wider than {WIDTH}")
        if not panel.get('targets'):
            self.say(where, 'asks nothing')
        if panel.get('datasource') != DATASOURCE:
            self.say(where, 'does not use the datasource variable')
        for target in panel.get('targets', []):
            if target.get('datasource') != DATASOURCE:
                self.say(where, f"query {target.get('refId')} does not use the datasource variable")
            self.expression(where, target['expr'])

    def expression(self, where, expr):
        for name, selector in OURS.findall(expr):
            if 'job=~"$job"' not in selector or 'instance=~"$instance"' not in selector:
                self.say(where, f'{name} is not asked of the chosen agents alone: {name}{selector}')
        for function, span in RANGE.findall(expr):
            allowed = span == '$__rate_interval' or (function in ('increase', 'delta') and (span == '$__range' or long_range(span)))
            if not allowed:
                self.say(where, f'{function} over [{span}]: $__rate_interval, or a span of days for increase')
        self.expressions.append((where, expr))

    # promtool has no parser for an expression alone: all of them as the rules of one file.
    def parse(self):
        rules = []
        for i, (_, expr) in enumerate(self.expressions):
            for name, value in (('__rate_interval', '5m'), ('__range', '1h'), ('__interval', '1h')):
                expr = expr.replace('$' + name, value)
            expr = re.sub(r'\$(?!\d)\{?\w+(:\w+)?\}?', 'x', expr)
            rules.append({'record': f'expression:{i}', 'expr': expr})
        if not rules:
            return
        with tempfile.NamedTemporaryFile('w', suffix='.yml') as file:
            yaml.safe_dump({'groups': [{'name': 'all', 'rules': rules}]}, file)
            file.flush()
            done = subprocess.run(['promtool', 'check', 'rules', '--lint=none', file.name], capture_output=True, text=True)
        if done.returncode != 0:
            for line in (done.stdout + done.stderr).splitlines():
                match = re.search(r'"expression:(\d+)"', line)
                if match:
                    where, expr = self.expressions[int(match.group(1))]
                    self.say(where, f'does not parse: {line.split(":", 3)[-1].strip()}: {expr}')
            if not self.failures:
                self.say('', done.stdout + done.stderr)


def overlap(one, other):
    return (one['x'] < other['x'] + other['w'] and other['x'] < one['x'] + one['w'] and
            one['y'] < other['y'] + other['h'] and other['y'] < one['y'] + one['h'])


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent.parent
    lint = Lint(root)
    return 1 if lint.run() else 0


if __name__ == '__main__':
    sys.exit(main())
