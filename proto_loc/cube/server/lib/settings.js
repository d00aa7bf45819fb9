'use strict';
/**
 * Settings of the server. `python -m proto_loc.cube.process` checks them and passes them as variables: see docs/settings.md.
 *
 * @typedef {object} Settings
 * @property {string} engine The engine that keeps the versions, as in LOC_ENGINE.
 * @property {string} warehouse The folder of published databases.
 * @property {string} model The folder of the data model.
 * @property {string} secret The secret that signs tokens.
 * @property {number} port
 * @property {{port: number, certificate: string, secret: string}} trino The port of Trino, the file of its certificate, and
 *   that of the password of the identity `cube`; only used with this engine.
 * @property {string} memory DuckDB's memory limit, for each open version.
 * @property {number} threads DuckDB's threads.
 * @property {number} timeout Seconds after which a query is stopped.
 * @property {number} rows The largest row limit that a query may ask for.
 * @property {number} grace Seconds that a superseded version stays open.
 * @property {number} cacheBytes Maximum size of the cached results of one version.
 * @property {'auto' | 'required' | 'off'} native
 * @property {boolean} dev Whether Cube's developer mode, with the playground, is on.
 * @property {string} forwarded The origin under which a codespace forwards the port; otherwise empty.
 */
const fs = require('fs');

/** @returns {Settings} */
function read(env = process.env) {
  const given = (name) => {
    if (!env[name]) throw new Error(`${name} is not set: start Cube with ./loc up, or ./loc exec cube.`);
    return env[name];
  };
  return {
    engine: given('CUBE_ENGINE'),
    warehouse: given('CUBE_WAREHOUSE'),
    model: given('CUBE_MODEL'),
    secret: secret(given('LOC_SECRET_FILE')),
    port: Number(given('CUBE_PORT')),
    trino: { port: Number(env.CUBE_TRINO_PORT), certificate: env.CUBE_TRINO_CERTIFICATE, secret: env.CUBE_TRINO_SECRET },
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
