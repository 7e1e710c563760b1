// Filters and sorting: all of the selection stands in the address.
import assert from 'node:assert/strict';
import test from 'node:test';
import {visit, world} from './world.mjs';

const query = (page) => Object.fromEntries(new URL(page.url()).searchParams);
const column = async (page, name) => {
  const cells = await page.locator(`tbody [data-h="${name}"]`).allInnerTexts();
  return cells.map((text) => text.trim());
};

for (const script of [true, false]) {
  test(`targets are filtered and sorted by their address, ${script ? 'with' : 'without'} a script`, () => visit({script}, async (visitor) => {
    const {page} = visitor;
    await visitor.go('/targets');
    const all = (await column(page, 'Target')).length;
    await page.getByLabel('Text').fill('mx');
    await page.getByLabel('Has a result').selectOption('open');
    await visitor.click('button', 'Filter');
    const {q, verdict, ...rest} = query(page);
    assert.deepEqual([q, verdict], ['mx', 'open']);
    if (script) assert.deepEqual(rest, {});  // what is empty stays out of the address
    const some = await column(page, 'Target');
    assert.deepEqual([...some].sort(), ['mx1.example.org', 'old-mx']);
    assert.equal(await page.getByLabel('Text').inputValue(), 'mx');
    assert.equal(await page.getByLabel('Has a result').inputValue(), 'open');

    await visitor.click('link', 'Target');
    assert.deepEqual(query(page), {q: 'mx', verdict: 'open', sort: 'name'});
    assert.deepEqual(await column(page, 'Target'), ['mx1.example.org', 'old-mx']);
    assert.equal(await page.locator('th[aria-sort=ascending]').innerText(), 'Target');
    await visitor.click('link', 'Target');
    assert.equal(query(page).sort, '-name');
    assert.deepEqual(await column(page, 'Target'), ['old-mx', 'mx1.example.org']);

    await page.goBack();
    assert.equal(query(page).sort, 'name');
    assert.deepEqual(await column(page, 'Target'), ['mx1.example.org', 'old-mx']);
    await page.goBack();
    await page.goBack();
    assert.deepEqual(query(page), {});
    assert.equal((await column(page, 'Target')).length, all);
    await page.goForward();
    assert.equal((await column(page, 'Target')).length, 2);
    assert.equal(await page.getByLabel('Text').inputValue(), 'mx');
    await visitor.click('link', 'Clear');
    assert.equal((await column(page, 'Target')).length, all);
  }));
}

test('CSV and JSON hold the selection of the page', () => visit({}, async (visitor) => {
  const {page} = visitor;
  const {origin} = world.house;
  await visitor.go('/exposures');
  await page.getByLabel('Owner').fill('network-team');
  await page.getByLabel('State').selectOption('open');
  await page.getByLabel('Exempt').selectOption('no');
  await visitor.click('button', 'Filter');
  await visitor.click('link', 'Check');
  assert.deepEqual(query(page), {owner: 'network-team', state: 'open', exempt: 'no', sort: 'check'});
  const shown = (await column(page, 'Check')).map((check, i) => [check, i]);
  const targets = await column(page, 'Target');
  const rows = shown.map(([check, i]) => `${targets[i]} ${check}`);
  assert.ok(rows.length >= 3, rows.join());
  assert.ok(rows.every((row) => /^(proxy1|lab-proxy) /.test(row)), rows.join());

  const csv = await (await fetch(origin + await page.getByRole('link', {name: 'CSV'}).getAttribute('href'))).text();
  const [head, ...lines] = csv.trimEnd().split('\r\n').map((line) => line.split(','));
  assert.deepEqual(lines.map((line) => `${line[head.indexOf('target')]} ${line[head.indexOf('check')]}`), rows);
  const {data} = await (await fetch(origin + await page.getByRole('link', {name: 'JSON'}).getAttribute('href'))).json();
  assert.deepEqual(data.map(({target, check}) => `${target} ${check}`), rows);
  assert.ok(data.every(({exempt}) => !exempt));
}));

test('a filter that nothing fits says so, and one that cannot be says what it takes', () => visit({}, async (visitor) => {
  await visitor.go('/targets?q=nobody-has-this-name');
  await visitor.reads(/0 targets\s+None\./);
  await visitor.go('/exposures?older=yesterday', 400);
  await visitor.reads(/This cannot be asked so/);
}));
