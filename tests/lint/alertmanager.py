#!/usr/bin/env python3
"""alertmanager.py [ROOT]: dashboards/alertmanager.yml is right, each alert of dashboards/alerts/tests/routes.txt goes where it says, and a
real Alertmanager that is given alerts hides the lesser ones.

That one's receivers are emptied first: nothing leaves this host."""
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml

# Seconds: until it answers, and until what it was given is settled.
START = 20
SETTLE = 5
AGENT = {'job': 'ajar', 'instance': 'probe:9925'}
DOOR = {**AGENT, 'target': 'mx1', 'address': '203.0.113.5', 'port': '25', 'transport': 'tcp', 'check': 'smtp_relay'}
OTHER = {**DOOR, 'address': '203.0.113.6'}
LISTED = {**AGENT, 'target': 'mx1', 'address': '203.0.113.5', 'zone': 'bl.example', 'tier': 'page'}
TARGET = {**AGENT, 'target': 'mx1'}
ELSEWHERE = {'job': 'ajar', 'instance': 'elsewhere:9925', 'target': 'mx1'}


def alert(name, labels):
    return {'alertname': name, **labels}


# What fires together, and which of it is hidden.
CASES = [
    ('open hides accepted, of the same address alone',
     [alert('AjarDoorOpen', DOOR), alert('AjarDoorAccepted', {**DOOR, 'port': '587'}), alert('AjarDoorAccepted', OTHER)],
     [alert('AjarDoorAccepted', {**DOOR, 'port': '587'})]),
    ('open hides listed', [alert('AjarDoorOpen', DOOR), alert('AjarListed', LISTED)], [alert('AjarListed', LISTED)]),
    ('listed and open hides listed, and not open',
     [alert('AjarListedAndOpen', TARGET | {'address': '203.0.113.5'}), alert('AjarDoorOpen', DOOR), alert('AjarListed', LISTED)],
     [alert('AjarListed', LISTED)]),
    ('accepted hides listed', [alert('AjarDoorAccepted', DOOR), alert('AjarListed', LISTED)], [alert('AjarListed', LISTED)]),
    ('listed hides nothing', [alert('AjarListed', LISTED), alert('AjarCannotTell', TARGET)], []),
    ('an agent that is down hides what is old, of its own alone, and no door',
     [alert('AjarAgentDown', AGENT), alert('AjarResultStale', TARGET), alert('AjarDoorOpen', DOOR), alert('AjarResultStale', ELSEWHERE)],
     [alert('AjarResultStale', TARGET)]),
    ('an agent that is absent hides that it is down, and what is old',
     [alert('AjarAgentAbsent', AGENT), alert('AjarAgentDown', AGENT), alert('AjarResultStale', TARGET)],
     [alert('AjarAgentDown', AGENT), alert('AjarResultStale', TARGET)]),
    ('no agent at all hides what is old everywhere',
     [alert('AjarAgentAbsent', {}), alert('AjarResultStale', TARGET), alert('AjarResultStale', ELSEWHERE)],
     [alert('AjarResultStale', TARGET), alert('AjarResultStale', ELSEWHERE)]),
    ('paused hides what is old', [alert('AjarPaused', AGENT), alert('AjarResultStale', TARGET)], [alert('AjarResultStale', TARGET)]),
    ('a blocked vantage hides what cannot be told', [alert('AjarVantageBlocked', AGENT), alert('AjarCannotTell', TARGET)], [alert('AjarCannotTell', TARGET)]),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def call(base, path, body=None):
    request = urllib.request.Request(base + path, json.dumps(body).encode() if body else None, {'Content-Type': 'application/json'})
    with urllib.request.urlopen(request, timeout=5) as answer:
        text = answer.read()
    return json.loads(text) if text.strip().startswith((b'{', b'[')) else None


def until(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.05)
    return None


# Each case in a case of its own: a label that the inhibitions compare too, so that one Alertmanager serves all.
def with_case(rules, folder):
    config = yaml.safe_load(rules.read_text())
    config['receivers'] = [{'name': receiver['name']} for receiver in config['receivers']]
    for rule in config['inhibit_rules']:
        rule['equal'] = rule.get('equal', []) + ['case']
    path = folder / 'alertmanager.yml'
    path.write_text(yaml.safe_dump(config))
    return path


def key(labels):
    return tuple(sorted(labels.items()))


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    return '' if done.returncode == 0 else (done.stdout + done.stderr).strip() or f'exit code {done.returncode}'


# What amtool has against the configuration and its routes.
def routes(rules):
    wrong = run('amtool', 'check-config', str(rules))
    if wrong:
        return [wrong]
    lines = (rules.parent / 'alerts' / 'tests' / 'routes.txt').read_text().splitlines()
    found = []
    for line in lines:
        if line.startswith('#') or not line.strip():
            continue
        receivers, labels = (part.split() for part in line.split('|'))
        wrong = run('amtool', 'config', 'routes', 'test', f'--config.file={rules}', f'--verify.receivers={receivers[0]}', *labels)
        if wrong:
            found.append(f'alerts/tests/routes.txt: {line}: {wrong}')
    return found


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent.parent
    rules = root / 'dashboards' / 'alertmanager.yml'
    if not rules.exists():
        return 0
    wrong = routes(rules)
    for what in wrong:
        print(f'dashboards/alertmanager.yml: {what}')
    if wrong:
        return 1
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        base = f'http://127.0.0.1:{free_port()}'
        server = subprocess.Popen(
            ['prometheus-alertmanager', f'--config.file={with_case(rules, folder)}', f'--storage.path={folder}/data',
             f'--web.listen-address={base[7:]}', '--cluster.listen-address=', '--log.level=error'],
            stdout=subprocess.DEVNULL)
        try:
            return look(base)
        finally:
            server.terminate()
            server.wait()


def look(base):
    sent = [{'labels': {**labels, 'case': title}} for title, alerts, _ in CASES for labels in alerts]
    hidden = {key({**labels, 'case': title}) for title, _, lesser in CASES for labels in lesser}
    if until(lambda: call(base, '/api/v2/status'), START) is None:
        print('dashboards/alertmanager.yml: Alertmanager does not start with it')
        return 1
    call(base, '/api/v2/alerts', sent)

    def now():
        return {key(found['labels']): bool(found['status']['inhibitedBy']) for found in call(base, '/api/v2/alerts')}

    wanted = {key(one['labels']): key(one['labels']) in hidden for one in sent}
    if until(lambda: now() == wanted, SETTLE):
        return 0
    found = now()
    for labels, expected in wanted.items():
        if found.get(labels) != expected:
            name = dict(labels)
            print(f"dashboards/alertmanager.yml: {name['case']}: {name['alertname']} {name.get('instance', '')} is "
                  f"{'not ' if expected else ''}hidden")
    return 1


if __name__ == '__main__':
    sys.exit(main())
