'use strict';
/**
 * What the server is told by `python -m proto_loc.cube.process`, which has checked it: see docs/settings.md.
 *
 * @typedef {object} Settings
 * @property {string} warehouse The folder of published databases.
 * @property {string} model The folder of the data model.
 * @property {string} secret What tokens are signed with.
 * @property {number} port
 * @property {string} memory DuckDB's memory limit, for each version that is open.
 * @property {number} threads DuckDB's threads.
 * @property {number} timeout Seconds after which a query is cut.
 * @property {number} rows The most rows that a query may ask for.
 * @property {number} grace Seconds that a superseded version stays open.
 * @property {number} cacheBytes The most that the results of one version may take.
 * @property {'auto' | 'required' | 'off'} native
 * @property {boolean} dev The playground, for a developer of Cube.
 * @property {string} forwarded The origin under which a codespace forwards the port; empty elsewhere.
 */
const fs = require('fs');

/** @returns {Settings} */
function read(env = process.env) {
  const given = (name) => {
    if (!env[name]) throw new Error(`${name} is not set: start Cube with ./loc up, or ./loc exec cube.`);
    return env[name];
  };
  return {
    warehouse: given('CUBE_WAREHOUSE'),
    model: given('CUBE_MODEL'),
    secret: secret(given('LOC_SECRET_FILE')),
    port: Number(given('CUBE_PORT')),
    memory: given('CUBE_MEMORY'),
    threads: Number(given('CUBE_THREADS')),
    timeout: Number(given('CUBE_TIMEOUT')),
    rows: Number(given('CUBE_ROWS')),
    grace: Number(given('CUBE_GRACE')),
    cacheBytes: Number(env.CUBE_CACHE_BYTES || 64e6),
    native: given('CUBE_NATIVE'),
    dev: env.CUBE_DEV === '1',
    forwarded: env.CUBE_FORWARDED || '',
  };
}

function secret(file) {
  const text = fs.readFileSync(file, 'utf8').trim();
  if (!text) throw new Error(`The secret is empty: ${file}.`);
  return text;
}

module.exports = { read };
