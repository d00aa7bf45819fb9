'use strict';
/**
 * Parts of Cube's server whose bounds no request shows: the results that a version keeps, its connections.
 *
 *   node --test parts.test.js
 *
 * FILE in the environment is a DuckDB file.
 */
const assert = require('assert');
const fs = require('fs');
const os = require('os');
const path = require('path');
const test = require('node:test');
const { VersionCache } = require('../../proto_loc/cube/server/lib/cache');
const { named } = require('../../proto_loc/cube/server/lib/engines');
const { VersionDriver } = require('../../proto_loc/cube/server/lib/duckdb/driver');
const { Versions } = require('../../proto_loc/cube/server/lib/versions');

const SETTINGS = { memory: '200MB', threads: 2, timeout: 10, rows: 5000 };
const value = (letter) => letter.repeat(200); // with its key 203 bytes as JSON

test('the result that was asked for longest ago makes room for new ones', async () => {
  const cache = new VersionCache(1000);
  for (const key of 'abcd') await cache.set(key, value(key), 60);
  assert.equal(await cache.get('a'), value('a')); // now b is the oldest
  await cache.set('e', value('e'), 60);
  assert.deepEqual(await cache.keysStartingWith(''), ['c', 'd', 'a', 'e']);
  assert.equal(cache.held, 4 * 203);
  for (const key of 'acde') await cache.remove(key);
  assert.equal(cache.held, 0);
});

test('a result of more than a quarter of the room is not kept, and takes no other one\'s', async () => {
  const cache = new VersionCache(1000);
  await cache.set('a', value('a'), 60);
  await cache.set('b', 'b'.repeat(300), 60);
  assert.equal(await cache.get('b'), undefined);
  assert.equal(await cache.get('a'), value('a'));
});

test('a result that is set anew is counted once, and one whose time is over is none', async () => {
  const cache = new VersionCache(1000);
  for (let times = 0; times < 20; times += 1) await cache.set('a', value('a'), 60);
  assert.equal(cache.held, 203);
  await cache.set('a', value('a'), -1);
  assert.equal(await cache.get('a'), undefined);
  assert.equal(cache.held, 0);
});

test('of the connections of many queries at once four are kept', async () => {
  const driver = new VersionDriver({ file: process.env.FILE }, SETTINGS);
  await Promise.all(Array.from({ length: 12 }, () => driver.query('select count(*) from range(100000)')));
  assert.equal(driver.idle.length, 4);
  assert.equal(driver.running.size, 0);
  await driver.release();
});

test('no query can unlock the file, or spill, or see another one', async () => {
  const driver = new VersionDriver({ file: process.env.FILE }, SETTINGS);
  const [{ locked }] = await driver.query("select current_setting('lock_configuration') as locked");
  assert.equal(String(locked), 'true');
  for (const sql of [
    "set memory_limit = '8GB'", 'set enable_external_access = true', "attach ':memory:' as other", "copy (select 1) to '/dev/null'",
    `select count(*) from read_text('${__filename}')`, 'create table main.t (i int)', 'install httpfs',
  ]) await assert.rejects(driver.query(sql), undefined, sql);
  await driver.release();
});

test('a link of the warehouse that was lost is no empty warehouse', () => {
  // Issue 7, item 1: a copy that keeps no links loses `current`, or makes it a folder or a file.
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'loc-'));
  const home = path.join(folder, 'prod');
  for (const id of ['000001', '000002']) {
    fs.mkdirSync(path.join(home, 'versions', id), { recursive: true });
    const manifest = { id: Number(id), published_at: '', tables: { 'marts.m': 1 } };
    fs.writeFileSync(path.join(home, 'versions', id, 'manifest.json'), JSON.stringify(manifest));
    fs.writeFileSync(path.join(home, 'versions', id, 'prod.duckdb'), '');
  }
  const served = () => new Versions(folder, named('duckdb')).current().id;
  assert.equal(served(), 2);
  fs.writeFileSync(path.join(home, 'served'), '000001\n');
  assert.equal(served(), 1);
  fs.writeFileSync(path.join(home, 'current'), 'versions/000001');
  assert.equal(served(), 1);
  fs.rmSync(path.join(home, 'current'));
  fs.cpSync(path.join(home, 'versions', '000001'), path.join(home, 'current'), { recursive: true });
  assert.equal(served(), 1);
  fs.rmSync(folder, { recursive: true });
});
