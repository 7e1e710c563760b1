#!/usr/bin/env python3
"""render.py [FOLDER]: writes what mixin.libsonnet says as files: grafana/*.json and alerts/ajar.rules.yml, in FOLDER (default: here).

For those who copy files; who has a jsonnet pipeline of their own imports the mixin. Needs jsonnet and python3-yaml."""
import json
import pathlib
import subprocess
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
EVERYTHING = '''
local mixin = import 'mixin.libsonnet';
{
  dashboards: mixin.grafanaDashboards,
  groups: mixin.prometheusRules.groups + mixin.prometheusAlerts.groups,
}
'''
ORDER = ('name', 'interval', 'record', 'alert', 'expr', 'for', 'labels', 'annotations', 'rules',
         'severity', 'summary', 'description', 'runbook_url', 'evidence_url', 'dashboard_url')
NOTE = '''# Rendered by render.py from mixin.libsonnet: change it there. The alerts are explained in README.md, what to do in runbooks/.
'''


class Dumper(yaml.SafeDumper):
    pass


def text(dumper, value):
    return dumper.represent_scalar('tag:yaml.org,2002:str', value, style='|' if '\n' in value else None)


def ordered(dumper, value):
    keys = sorted(value, key=lambda key: (ORDER.index(key) if key in ORDER else len(ORDER), key))
    return dumper.represent_mapping('tag:yaml.org,2002:map', [(key, value[key]) for key in keys])


Dumper.add_representer(str, text)
Dumper.add_representer(dict, ordered)


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE)
    done = subprocess.run(['jsonnet', '-J', str(HERE), '-e', EVERYTHING], capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        return 1
    mixin = json.loads(done.stdout)
    (out / 'grafana').mkdir(parents=True, exist_ok=True)
    (out / 'alerts').mkdir(parents=True, exist_ok=True)
    for name, dashboard in mixin['dashboards'].items():
        (out / 'grafana' / name).write_text(json.dumps(dashboard, indent=2, ensure_ascii=False) + '\n')
    rules = yaml.dump({'groups': mixin['groups']}, Dumper=Dumper, width=10000, allow_unicode=True, sort_keys=False)
    (out / 'alerts' / 'ajar.rules.yml').write_text(NOTE + rules)
    return 0


if __name__ == '__main__':
    sys.exit(main())
