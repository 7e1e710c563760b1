// What hostile servers said is shown, and does nothing.
import assert from 'node:assert/strict';
import test from 'node:test';
import {HOSTILE} from './hostile.mjs';
import {visit, world} from './world.mjs';

const MOST = 1 << 20;  // bytes of a page
// What html() writes out instead: controls, and what turns or hides text.
const RAW = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u200B-\u200F\u202A-\u202E\u2060-\u206F\uFEFF]/u;

async function harmless(visitor, path) {
  const {page} = visitor;
  const answer = await visitor.go(path);
  const body = await answer.body();
  assert.ok(body.length < MOST, `${path} has ${body.length} bytes`);
  const text = new TextDecoder('utf-8', {fatal: true}).decode(body);
  // A letter that is read from right to left isolates what is put in, in pairs.
  assert.equal(text.match(/[\u2066\u2068]/g)?.length, text.match(/\u2069/g)?.length, path);
  assert.doesNotMatch(path.startsWith('/notices/') ? text.replace(/[\u2066\u2068\u2069]/g, '') : text, RAW, path);
  assert.doesNotMatch(await page.title(), /owned/);
  const found = await page.evaluate(() => ({
    scripts: document.querySelectorAll('body script, main script').length,
    images: document.querySelectorAll('img').length,
    handlers: document.querySelectorAll('[onerror],[onload],[onclick]').length,
    mains: document.querySelectorAll('main').length,
  }));
  assert.deepEqual(found, {scripts: 0, images: 0, handlers: 0, mains: 1}, path);
  await visitor.fits();
}

test('nothing that a hostile server says runs, turns the text or makes the page large', (t) =>
  visit({width: 320}, async (visitor) => {
    const cases = (await world.house.data('/api/v1/exposures')).filter(({target}) => target.startsWith('hostile-'));
    assert.ok(cases.length > 0);
    const paths = ['/', '/targets', '/exposures', '/targets/mx1.example.org', ...HOSTILE.map(({name}) => `/targets/${name}`),
      ...cases.map(({id}) => `/exposures/${id}`), ...cases.map(({target}) => `/notices/${target}?lang=en`)];
    for (const path of paths) await t.test(path, () => harmless(visitor, path));
  }));

test('it is shown all the same, written out', () => visit({}, async (visitor) => {
  await visitor.go('/targets/hostile-words');
  const said = await visitor.page.getByRole('group', {name: 'Conversation'}).first().innerText();
  const line = said.split('\n').find((one) => one.startsWith('S: 220 '));
  assert.ok(line.startsWith("S: 220 <script>document.title='owned'</script><img src=x onerror="), line);
  assert.ok(line.includes('\\x1b[31mred') && line.includes('a\\xe2\\x80\\xaetxt.exe') && line.includes('\\xff\\xfe'), line);
  await visitor.accessible();
  await visitor.go('/targets/mx1.example.org');
  await visitor.reads(/it says: it relayed <script>document\.title='owned'<\/script>/);
}));

test('an address that is markup is only an address', () => visit({}, async (visitor) => {
  const words = encodeURIComponent("<script>document.title='owned'</script>");
  for (const [path, status] of [[`/targets?q=${words}`, 200], [`/targets/${words}`, 404], [`/targets?sort=${words}`, 400],
    [`/notices/${words}`, 404], [`/exposures?owner=%22%3E${words}`, 200], [`/targets?check=${words}`, 400], [`/${words}`, 404]]) {
    await visitor.go(path, status);
    assert.doesNotMatch(await visitor.page.title(), /owned/);
    assert.equal(await visitor.page.locator('body script').count(), 0);
  }
}));
