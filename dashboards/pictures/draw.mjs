// draw.mjs CHROMIUM PROMETHEUS JOBS: draws dashboards in a headless Chromium; JOBS is JSON, [{dashboard, picture, from, chosen}].
// Started by make.py, beside node_modules. Nothing is asked but Prometheus: the page's own files come from the disk.
import { build } from 'esbuild';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';

const [executablePath, prometheus, jobs] = process.argv.slice(2);
const PAGE = 'http://pictures.test/';
const WIDTH = 1400, LIMIT = 60_000, SCRAPE_MS = 5000;
const components = path.resolve('node_modules/@grafana/ui/dist');

await build({
  entryPoints: ['page.tsx'],
  outfile: 'page/page.js',
  bundle: true,
  minify: true,
  format: 'iife',
  jsx: 'transform',
  mainFields: ['browser', 'module', 'main'],
  loader: { '.woff2': 'dataurl', '.woff': 'empty', '.svg': 'dataurl' },
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  logLevel: 'error',
});

const HTML = `<!doctype html><meta charset=utf-8><link rel=stylesheet href=page.css><style>*{box-sizing:border-box}body{margin:0}</style>
<div id=root></div><script src=page.js></script>`;

// A browser lets no page of another host ask loopback: Prometheus' answers come through here.
async function serve(route) {
  const { pathname: name, search } = new URL(route.request().url());
  if (name.startsWith('/api/')) return route.fulfill({ response: await route.fetch({ url: prometheus + name + search }) });
  if (name === '/') return route.fulfill({ contentType: 'text/html', body: HTML });
  const file = name.startsWith('/public/') ? path.join(components, name) : path.resolve('page', path.basename(name));
  try {
    return await route.fulfill({ path: file });
  } catch {
    return route.fulfill({ status: 404, body: '' });
  }
}

async function draw(browser, job) {
  const page = await browser.newPage({ viewport: { width: WIDTH, height: 800 } });
  page.setDefaultTimeout(LIMIT);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(error.stack));
  const picture = {
    dashboard: JSON.parse(await readFile(job.dashboard, 'utf8')),
    source: { scrapeMs: SCRAPE_MS },
    chosen: job.chosen ?? {},
    from: job.from,
    width: WIDTH,
  };
  await page.addInitScript((value) => { window.picture = value; }, picture);
  await page.route(`${PAGE}**`, serve);
  await page.goto(PAGE);
  await page.waitForFunction(() => document.title.startsWith('failed') || document.getElementById('dashboard'));
  const title = await page.title();
  if (title) throw new Error(`${job.dashboard}: ${title}`);
  const box = await page.locator('#dashboard').boundingBox();
  await page.setViewportSize({ width: WIDTH, height: Math.ceil(box.height) });
  // Icons and graphs: two frames after everything has come.
  await page.waitForLoadState('networkidle');
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  if (wrong.length) throw new Error(`${job.dashboard}: ${wrong.join('\n')}`);
  await page.screenshot({ path: job.picture, fullPage: true });
  await page.close();
}

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'], timeout: LIMIT });
try {
  for (const job of JSON.parse(jobs)) await draw(browser, job);
} finally {
  await browser.close();
}
