#!/usr/bin/env python3
"""alerts.py [ROOT]: the alert rules, their unit tests, runbooks and the example Alertmanager configuration belong together.

Every alert has a severity, its annotations, a runbook of its name, a unit test in which it fires and is silent, the words that it says
(alerts/tests/words.yml) and a route; and nothing of these speaks of an alert that is not there. alert_tests.sh runs the unit tests,
alertmanager.py the routes."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

SEVERITIES = {'critical', 'warning', 'info'}
ANNOTATIONS = {'summary', 'description', 'runbook_url', 'evidence_url', 'dashboard_url'}
SECTIONS = ['Meaning', 'Impact', 'Confirm', 'Close', 'Verify', 'Silence', 'Tell']
# These say no more than that they fire.
ALWAYS = {'AjarWatchdog'}


class Lint:
    def __init__(self, root):
        self.folder = root / 'dashboards'
        self.failures = 0

    def say(self, where, what):
        print(f'dashboards/{where}: {what}')
        self.failures += 1

    def run(self):
        rules = self.folder / 'alerts' / 'ajar.rules.yml'
        if not rules.exists():
            return self.failures
        groups = yaml.safe_load(rules.read_text())['groups']
        recorded = {rule['record'] for group in groups for rule in group['rules'] if 'record' in rule}
        alerts = [rule for group in groups for rule in group['rules'] if 'alert' in rule]
        names = {alert['alert'] for alert in alerts}
        for alert in alerts:
            self.alert(alert)
        for group in groups:
            for rule in group['rules']:
                self.names_recorded(rule, recorded)
        self.runbooks(names)
        self.tests(names)
        self.readme(alerts)
        self.alertmanager(names)
        self.provisioning()
        return self.failures

    def command(self, where, *arguments, cwd=None):
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=cwd)
        if done.returncode != 0:
            self.say(where, f'{arguments[0]} {arguments[1]}: {(done.stdout + done.stderr).strip()}')

    # -- rules --

    def alert(self, alert):
        where = f"alerts/ajar.rules.yml: {alert['alert']}"
        if alert['labels'].get('severity') not in SEVERITIES:
            self.say(where, f"severity {alert['labels'].get('severity')}")
        annotations = alert['annotations']
        for missing in sorted(ANNOTATIONS - {key for key, value in annotations.items() if value.strip()}):
            self.say(where, f'no {missing}')
        if not annotations.get('runbook_url', '').endswith('/' + alert['alert']):
            self.say(where, 'its runbook_url is not its own')

    def names_recorded(self, rule, recorded):
        for name in re.findall(r'\bajar:[\w:]+', rule['expr'] + ' '.join(rule.get('annotations', {}).values())):
            if name not in recorded:
                self.say('alerts/ajar.rules.yml', f'no rule records {name}')

    # -- runbooks --

    def runbooks(self, names):
        found = {path.stem: path for path in (self.folder / 'runbooks').glob('*.md')}
        for name in sorted(names - found.keys()):
            self.say(f'runbooks/{name}.md', 'is missing')
        for name, path in sorted(found.items()):
            where = f'runbooks/{path.name}'
            if name not in names:
                self.say(where, 'no alert has this name')
            text = path.read_text()
            if not text.startswith(f'# {name}\n'):
                self.say(where, f'does not begin with "# {name}"')
            if re.findall(r'^## (.*)$', text, re.M) != SECTIONS:
                self.say(where, f"its sections are not {', '.join(SECTIONS)}")
            for link in re.findall(r'\]\((\w+)\.md\)', text):
                if link not in found:
                    self.say(where, f'no runbook {link}.md')

    # -- tests --

    def tests(self, names):
        files = sorted((self.folder / 'alerts' / 'tests').glob('*.yml'))
        fires, silent, words = set(), set(), set()
        for path in files:
            for case in yaml.safe_load(path.read_text())['tests']:
                for test in case.get('promql_expr_test', []):
                    for name in re.findall(r'alertname="(\w+)"', test['expr']):
                        (fires if test['exp_samples'] else silent).add(name)
                words |= {test['alertname'] for test in case.get('alert_rule_test', []) if test['exp_alerts']}
        for name in sorted(names):
            if name not in fires:
                self.say('alerts/tests', f'{name} fires in no test')
            if name not in silent | ALWAYS:
                self.say('alerts/tests', f'{name} is silent in no test')
            if name not in words:
                self.say('alerts/tests/words.yml', f'what {name} says is not here')
        for name in sorted((fires | silent | words) - names):
            self.say('alerts/tests', f'no alert is called {name}')
        self.command('alerts/ajar.rules.yml', 'promtool', 'check', 'rules', str(self.folder / 'alerts' / 'ajar.rules.yml'))

    # -- README.md: a line `| [Alert](…) | severity | …` for each --

    def readme(self, alerts):
        lines = {}
        for name, severity in re.findall(r'^\| \[(Ajar\w+)\]\(\S+\)[^|]*\| ([\w, ]+) \|', (self.folder / 'README.md').read_text(), re.M):
            lines[name] = set(severity.split(', '))
        said = {}
        for alert in alerts:
            said.setdefault(alert['alert'], set()).add(alert['labels']['severity'])
        for name in sorted(said.keys() | lines.keys()):
            if lines.get(name) != said.get(name):
                self.say('README.md', f'{name}: severity {lines.get(name)} in the table, {said.get(name)} in the rules')

    # -- Alertmanager --

    def alertmanager(self, names):
        path = self.folder / 'alertmanager.yml'
        for name in sorted(set(re.findall(r'\bAjar\w+', path.read_text()))):
            # AjarAgent stands in the expression AjarAgent.*
            if name not in names and not any(other.startswith(name) for other in names):
                self.say('alertmanager.yml', f'no alert is called {name}')
        routes = (self.folder / 'alerts' / 'tests' / 'routes.txt').read_text()
        routed = set(re.findall(r'^[^#].*\balertname=(\w+)', routes, re.M))
        for name in sorted(names - routed):
            self.say('alerts/tests/routes.txt', f'nothing says where {name} goes')

    # -- provisioning: what the compose file mounts is there, and Prometheus takes its configuration as it lies there --

    def provisioning(self):
        folder = self.folder / 'provisioning'
        compose = yaml.safe_load((folder / 'compose.yml').read_text())
        with tempfile.TemporaryDirectory() as place:
            for service, what in compose['services'].items():
                if not re.fullmatch(r'[\w./-]+:v?\d+\.\d+\.\d+', what['image']):
                    self.say('provisioning/compose.yml', f"{service}: the image {what['image']} has no version")
                for volume in what['volumes']:
                    source, inside = volume.split(':')[:2]
                    if not source.startswith('.'):
                        continue
                    source = (folder / source).resolve()
                    if not source.exists():
                        self.say('provisioning/compose.yml', f'{volume}: there is no such file')
                        continue
                    target = pathlib.Path(place) / service / inside.lstrip('/')
                    target.parent.mkdir(parents=True, exist_ok=True)
                    (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
            prometheus = pathlib.Path(place) / 'prometheus' / 'etc' / 'prometheus'
            self.command('provisioning/prometheus/prometheus.yml', 'promtool', 'check', 'config', 'prometheus.yml', cwd=prometheus)
            if not list((prometheus / 'rules').glob('*.rules.yml')):
                self.say('provisioning/compose.yml', 'Prometheus gets no rules')
            self.grafana(pathlib.Path(place) / 'grafana')

    def grafana(self, place):
        for path in (place / 'etc/grafana/provisioning').rglob('*.yml'):
            for provider in yaml.safe_load(path.read_text()).get('providers', []):
                if not list((place / provider['options']['path'].lstrip('/')).glob('*.json')):
                    self.say('provisioning', f"{path.name}: no dashboards at {provider['options']['path']}")


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent.parent
    return 1 if Lint(root).run() else 0


if __name__ == '__main__':
    sys.exit(main())
