// The lab, an agent on it and hostile servers beside it: started, waited for, ended.
import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, readFileSync, openSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {HOSTILE, startHostile} from './hostile.mjs';
import {startDatabase} from './database.mjs';

const [build, root] = process.argv.slice(2);
export const ROOT = root;

const OPEN = /open|mixed|connect_443/;

// [name, what it is, owner, whose place of the lab it takes where it is not its own]
export const TESTED = [
  ['mx1.example.org', 'open', 'mail-team <mail@example.org>'],
  ['mx2.example.org', 'closed', 'mail-team <mail@example.org>'],
  ['newsletter', 'accept_and_discard', 'web-team'],
  ['partner-mx', 'blocks_us', 'web-team'],
  ['old-mx', 'open', 'mail-team <mail@example.org>', 'tarpit'],
  ['proxy1', 'proxy_open', 'network-team'],
  ['proxy2', 'proxy_auth', 'network-team'],
  ['lab-proxy', 'mixed', 'network-team'],
  ['socks', 'socks_closed', 'network-team'],
  ['mended', 'open', 'web-team', 'exim_like'],
  ['mended-without-script', 'open', 'web-team', 'closed_454'],
  ['mended-by-keyboard', 'open', 'web-team', 'postfix_error_limit'],
];
// A small company, for the pictures.
export const PICTURED = [
  ['mx1.example.org', 'open', 'mail-team'],
  ['mx2.example.org', 'closed', 'mail-team'],
  ['submission.example.org', 'submission_auth', 'mail-team'],
  ['newsletter', 'accept_and_discard', 'web-team'],
  ['shop-mail', 'exim_like', 'web-team'],
  ['partner-mx', 'blocks_us', 'web-team'],
  ['proxy1', 'proxy_open', 'network-team'],
  ['proxy2', 'proxy_auth', 'network-team'],
  ['lab-proxy', 'proxy_connect_443_only', 'network-team'],
  ['socks', 'socks_closed', 'network-team'],
];

const config = (web, databases) => `
scope = ["127.0.0.0/8"]
[agent]
name = "probe.example.net"
contact = "mailto:sre@example.net"
vantage = "outside"
source_addresses = ["127.66.0.1"]
interval = "1h"
retry_interval = "500ms"
connect_timeout = "2s"
reply_timeout = "3s"
probe_timeout = "40s"
state = "ajar.db"
[web]
listen = ["${web}"]
external_url = "https://ajar.example.net"
[canary]
listen_tcp = ["127.9.9.9:8025", "127.9.9.9:8443"]
listen_smtp = ["127.9.9.9:2525"]
advertise_tcp = ["127.9.9.9:8025", "127.9.9.9:8443"]
advertise_smtp = ["127.9.9.9:2525"]
host = "canary.test"
mail_domain = "canary.test"
secret_file = "canary.secret"
delivery_timeout = "4s"
message_interval = "1s"
[dnsbl]
resolvers = ["${databases}"]
zones = ["bl.example"]
lookup_private = true
interval = "1h"
[[dnsbl.zone]]
name = "bl.example"
tier = "page"
codes = { "127.0.0.2" = "open relay" }
[[exemption]]
target = "lab-proxy"
check = "http_connect"
until = 2099-12-31
who = "the network team"
why = "a proxy for tests"
`;

// Asks until the answer is not false; fails when `limit` milliseconds have passed.
export async function until(what, ask, limit = 60000) {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(Date.now() < end, `not within ${limit / 1000} s: ${typeof what === 'function' ? what() : what}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

const freePort = () => new Promise((resolve, reject) => {
  const server = createServer();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const {port} = server.address();
    server.close(() => resolve(port));
  });
});

export class House {
  // `hostile`: with the servers of hostile.mjs.
  static async start(servers, hostile = true) {
    const house = new House();
    house.#asked = servers;
    house.#hostile = hostile ? HOSTILE : [];
    try {
      await house.#start();
    } catch (error) {
      house.stop();
      throw error;
    }
    return house;
  }

  #asked = [];
  #hostile = [];
  #children = [];
  #servers = [];
  folder = mkdtempSync(join(tmpdir(), 'ajar-browser-'));

  async #start() {
    const places = this.#places();
    this.control = `http://127.0.0.1:${await freePort()}`;
    this.origin = `http://127.0.0.1:${await freePort()}`;
    const database = await startDatabase([places.open.address]);
    this.#servers.push(database);
    if (this.#hostile.length > 0) this.#servers.push(...await startHostile());
    this.where = Object.fromEntries(this.#asked.map(([name, is, , place]) => [name, places[place ?? is]]));
    this.#run('lab', [`${build}/ajar-lab`, '--quiet', '--control', new URL(this.control).host]);
    await until('the lab is ready', () => this.#answers(`${this.control}/`));
    for (const [name, is, , place] of this.#asked) if (place) await this.change(name, is);
    writeFileSync(join(this.folder, 'ajar.toml'), this.#config(places, `127.0.0.1:${database.address().port}`));
    this.#run('agent', [`${build}/ajar`, 'run', '--config', 'ajar.toml']);
    await until(() => `the agent is ready\n${this.log('agent')}`, () => this.#answers(`${this.origin}/-/ready`));
  }

  // By personality: what `ajar-lab --list` says.
  #places() {
    const listed = spawnSync(`${build}/ajar-lab`, ['--list'], {encoding: 'utf8', timeout: 30000});
    assert.equal(listed.status, 0, listed.stderr);
    return Object.fromEntries(listed.stdout.trim().split('\n').map(JSON.parse).map((place) => [place.personality, place]));
  }

  #config(places, databases) {
    let text = config(new URL(this.origin).host, databases);
    const add = (name, address, port, checks, owner) => {
      text += `[[target]]\nname = ${JSON.stringify(name)}\naddress = "${address}"\nowner = "${owner}"\nlabels = { site = "zrh" }\n`;
      text += `checks = ${JSON.stringify([...checks, 'dnsbl'])}\n`;
      for (const check of checks) text += `ports.${check} = [${port}]\n`;
    };
    for (const [name, is, owner] of this.#asked) {
      const checks = Object.keys(places[is].expect);
      add(name, this.where[name].address, this.where[name].port, checks, owner);
    }
    for (const {name, address, port, checks} of this.#hostile) add(name, address, port, checks, 'nobody');
    return text;
  }

  // A child that does not outlive us, whatever ends us.
  #run(name, argv) {
    const log = openSync(join(this.folder, `${name}.log`), 'w');
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...argv], {cwd: this.folder, stdio: ['ignore', log, log]});
    child.on('exit', () => { child.ended = true; });
    child.called = name;
    this.#children.push(child);
  }

  async #answers(url) {
    for (const child of this.#children) assert.ok(!child.ended, `${child.called} ended:\n${this.log(child.called)}`);
    try {
      return (await fetch(url)).ok;
    } catch {
      return false;
    }
  }

  log(name) {
    return readFileSync(join(this.folder, `${name}.log`), 'utf8').slice(-4000);
  }

  // Gives a server another personality, at once.
  async change(name, personality) {
    const {address, port} = this.where[name];
    const answer = await fetch(`${this.control}/personality?address=${address}&port=${port}&name=${personality}`, {method: 'POST'});
    assert.equal(answer.status, 200, await answer.text());
  }

  async data(path) {
    const answer = await fetch(this.origin + path);
    assert.equal(answer.status, 200, path);
    return (await answer.json()).data;
  }

  // A second answer must confirm the first, half a second later; the schedule itself would take an hour.
  isFixed(name) {
    return until(`${name} is fixed`, async () => (await this.data('/api/v1/exposures?state=closed')).some((one) => one.target === name));
  }

  // All have been asked, and what is open has been proven.
  async settled() {
    const wanted = this.#asked.length + this.#hostile.length;
    let seen = [];
    await until(() => `every server is judged: ${JSON.stringify(seen)}`, async () => {
      const targets = await this.data('/api/v1/targets');
      const cases = await this.data('/api/v1/exposures?state=open');
      const listings = await this.data('/api/v1/listings');
      const level = Object.fromEntries(targets.map(({name, level: known}) => [name, known]));
      seen = level;
      return targets.length === wanted && targets.every((target) => target.level !== null) &&
        this.#asked.every(([name, is]) => !OPEN.test(is) || level[name] === 4) && level.newsletter === 3 &&
        cases.length >= this.#asked.filter(([, is]) => OPEN.test(is)).length && listings.some((row) => row.listed && row.text);
    }, 90000);
  }

  stop() {
    for (const child of this.#children) if (!child.ended) child.kill('SIGKILL');
    for (const server of this.#servers.splice(0)) server.close();
    rmSync(this.folder, {recursive: true, force: true});
  }
}
