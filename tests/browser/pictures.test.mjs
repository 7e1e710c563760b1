// The pictures of the README, into the folder AJAR_SCREENSHOTS.
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import test from 'node:test';
import {visit} from './world.mjs';

const FOLDER = process.env.AJAR_SCREENSHOTS;

const picture = (name, how, path, before = async () => {}) => test(name, () => visit(how, async (visitor) => {
  mkdirSync(FOLDER, {recursive: true});
  await visitor.go(path);
  await before(visitor.page);
  await visitor.page.screenshot({path: join(FOLDER, `${name}.png`), animations: 'disabled'});
}));

picture('now', {width: 1280, height: 1000}, '/');
picture('proxy', {width: 1280, height: 1160}, '/targets/proxy1?check=http_connect', (page) =>
  page.getByRole('heading', {name: 'Latest probe'}).evaluate((heading) => {
    heading.scrollIntoView({behavior: 'instant'});
    scrollBy({top: -16, behavior: 'instant'});
  }));
picture('notice', {width: 800, height: 1000}, '/notices/mx1.example.org');
picture('phone', {width: 390, height: 780, scale: 2, dark: true}, '/');
