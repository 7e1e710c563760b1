// Chromium, and what holds of every page: nothing on the console, nothing against the Content-Security-Policy, nothing from elsewhere.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {chromium} from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const LIMIT = 30000;
const FLAGS = ['--disable-gpu', '--disable-software-rasterizer', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--hide-scrollbars'];

// In a fresh profile, which goes when the browser does.
export const startBrowser = () => chromium.launch({
  executablePath: '/usr/bin/chromium', chromiumSandbox: false, args: FLAGS, timeout: 2 * LIMIT});

// A person at a screen of her own.
export class Visitor {
  static async come(browser, origin, {script = true, dark = false, width = 1280, height = 900, scale = 1} = {}) {
    const context = await browser.newContext({
      baseURL: origin, javaScriptEnabled: script, colorScheme: dark ? 'dark' : 'light', viewport: {width, height}, deviceScaleFactor: scale});
    context.setDefaultTimeout(LIMIT);
    const visitor = new Visitor();
    visitor.context = context;
    visitor.page = await context.newPage();
    visitor.#listen(origin);
    return visitor;
  }

  #wrong = [];
  #expected = 200;

  #listen(origin) {
    const {page} = this;
    page.on('console', (message) => {
      const text = message.text();
      // What Chromium itself says of a page whose status is an error.
      if (message.type() !== 'error' || (this.#expected >= 400 && text.includes(`status of ${this.#expected}`))) return;
      this.#wrong.push(`console: ${text}`);
    });
    page.on('pageerror', (error) => this.#wrong.push(`script: ${error.message}`));
    page.on('dialog', (dialog) => {
      this.#wrong.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(`${origin}/`)) this.#wrong.push(`asks elsewhere: ${request.url()}`);
    });
    page.on('response', (response) => {
      if (response.status() >= 400 && response.status() !== this.#expected)
        this.#wrong.push(`${response.status()}: ${response.url()}`);
    });
  }

  // Nothing went wrong since the last time.
  fine() {
    assert.deepEqual(this.#wrong.splice(0), [], this.page.url());
  }

  // What an answer may say beside 200.
  expect(status) {
    this.#expected = status;
  }

  async go(path, status = 200) {
    this.expect(status);
    const answer = await this.page.goto(path, {waitUntil: 'load'});
    assert.equal(answer.status(), status, path);
    this.fine();
    return answer;
  }

  // Follows what takes her to another page.
  async follow(act, status = 200) {
    this.expect(status);
    const [answer] = await Promise.all([
      this.page.waitForResponse((response) => response.request().isNavigationRequest() && response.status() !== 303), act()]);
    await this.page.waitForLoadState('load');
    assert.equal(answer.status(), status, answer.url());
    this.fine();
    return answer;
  }

  click(role, name, status = 200) {
    return this.follow(() => this.page.getByRole(role, {name, exact: true}).first().click(), status);
  }

  // What she reads there. Buttons that a script adds are not what the page says.
  async reads(pattern, where = 'main') {
    const element = this.page.locator(where).first();
    const text = (await element.innerText()).replaceAll(/^Copy\n/gm, '');
    assert.ok(pattern.test(text), `${this.page.url()} does not say ${pattern}:\n${text.slice(0, 1000)}`);
  }

  // By the window's width nothing is to be reached sideways.
  async fits() {
    const {wide, window, what} = await this.page.evaluate(() => {
      const root = document.documentElement;
      const out = [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > root.clientWidth + 1 &&
        !element.closest('.scroll,pre,.vh,.skip'));
      return {wide: root.scrollWidth, window: root.clientWidth, what: out.slice(0, 3).map((element) => element.outerHTML.slice(0, 160))};
    });
    assert.ok(wide <= window, `${this.page.url()} is ${wide} wide in ${window}: ${what.join(' | ')}`);
  }

  // WCAG 2.2 AA, as far as a program can tell.
  async accessible() {
    if (!await this.page.evaluate(() => 'axe' in window)) await this.#runAxe();
    const found = await this.page.evaluate(async () => {
      const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
      const {violations} = await window.axe.run(document,
        {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations'], preload: false, iframes: false});
      return violations.map(({id, nodes}) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 200)} ${node.failureSummary}`).join(' | ')}`);
    });
    assert.deepEqual(found, [], this.page.url());
  }

  // By the debugger: the page's own policy lets no such script in.
  async #runAxe() {
    const session = await this.context.newCDPSession(this.page);
    const {exceptionDetails} = await session.send('Runtime.evaluate', {expression: AXE});
    assert.equal(exceptionDetails, undefined);
    await session.detach();
  }

  leave() {
    return this.context.close();
  }
}
