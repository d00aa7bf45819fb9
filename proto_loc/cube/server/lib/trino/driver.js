'use strict';
/** Cube's driver for one published version: it reads the version's catalogue of Trino, as the identity `cube`. */
const fs = require('fs');
const https = require('https');
const { TrinoDriver } = require('@cubejs-backend/trino-driver');
const { PublishedQuery } = require('./dialect');
const { converter, parse } = require('./values');
const { QueryRefused, tooLarge, tooSlow } = require('../refusal');

const HOST = '127.0.0.1';
const USER = 'cube'; // one of proto_loc/trino/identities.py
const POLL = 1; // milliseconds between two requests, as Trino itself waits until there is news
const TRIES = 20; // so often an answer like 503 is asked again, every 50 to 100 ms
const PROBE = 3000; // milliseconds in which Trino says whether it has started
const DOWN = 'Trino does not answer';
// Without it, Trino rounds each time to milliseconds. The client library sends no such header.
const CAPABILITIES = { 'X-Trino-Client-Capabilities': 'PARAMETRIC_DATETIME' };

const text = (value) => `'${String(value).replaceAll("'", "''")}'`;

const down = (port, why) => `${DOWN} on port ${port} of ${HOST}: ${why}. Start it with LOC_ENGINE=trino ./loc up -d; if it runs, see `
  + './loc logs trino.';

/** A statement with its values; Trino binds them, so that a `?` in a text of the statement stays one. */
function bound(sql, values) {
  if (!values.length) return sql;
  const literals = values.map((value) => (value === null || value === undefined ? 'NULL' : text(value)));
  return `EXECUTE IMMEDIATE ${text(sql)} USING ${literals.join(', ')}`;
}

class VersionDriver extends TrinoDriver {
  /**
   * @param {import('../versions').Version} version
   * @param {import('../settings').Settings} settings
   */
  constructor(version, settings) {
    super({
      host: HOST,
      port: settings.trino.port,
      user: USER,
      source: 'proto_loc',
      catalog: `v${version?.id}`, // Cube also makes a driver without a version, to learn its class
      schema: 'marts',
      ssl: {},
      queryTimeout: settings.timeout,
      checkInterval: POLL,
      jsonParser: { parse },
    });
    this.settings = settings;
  }

  static dialectClass() {
    return PublishedQuery;
  }

  readOnly() {
    return true;
  }

  /** Whether the version's catalogue is there. */
  async testConnection() {
    await this.query('SHOW SCHEMAS');
  }

  /**
   * Run a statement; return its rows as objects.
   *
   * @throws {QueryRefused} It ran longer than the time-out, or its result is too large.
   */
  query(sql, values = []) {
    return new Promise((resolve, reject) => {
      const rows = [];
      let refused; // why the rest of the result is not read
      let tries = 0;
      let converters;
      this.#login();
      this.client.execute({
        query: bound(sql, values),
        headers: CAPABILITIES,
        timezone: 'UTC', // published times have no zone
        session: `query_max_run_time=${Math.ceil(this.settings.timeout) + 5}s`, // for when nobody can stop it
        cancel: () => Boolean(refused),
        data: (_, page, columns) => {
          try {
            refused ||= tooLarge(rows.length + page.length, columns.length, this.settings);
            if (refused) return;
            converters ||= columns.map(({ name, typeSignature }) => [name, converter(typeSignature)]);
            for (const values of page) rows.push(Object.fromEntries(converters.map(([name, convert], at) => [name, convert(values[at])])));
          } catch (error) {
            refused = error;
          }
        },
        retry: () => {
          tries += 1;
          if (tries === TRIES) reject(this.#down('its server is not ready'));
        },
        success: () => (refused ? reject(refused) : resolve(rows)),
        error: (error) => reject(refused || this.#explained(error)),
      });
    });
  }

  /** Read the certificate and the password anew, as both change if somebody removes them. */
  #login() {
    const { certificate, secret } = this.settings.trino;
    try {
      this.client.ssl = { ca: fs.readFileSync(certificate) };
      const password = fs.readFileSync(secret, 'utf8').trim();
      this.client.authorization = `Basic ${Buffer.from(`${USER}:${password}`).toString('base64')}`;
    } catch (error) {
      throw this.#down(error.message);
    }
  }

  #down(why) {
    return new Error(down(this.settings.trino.port, why));
  }

  /** The error for a person, given one of presto-client, which has several forms. */
  #explained(error) {
    const cause = error.error || error;
    const first = String(cause.message || error.message || cause).split('\n')[0];
    if (error.message === 'execution error:query timed out' || cause.errorName === 'EXCEEDED_TIME_LIMIT') {
      return tooSlow(this.settings);
    }
    if (error.code === 401) return this.#down(`it refuses the identity ${USER}`);
    if (error.code >= 400) return this.#down(`it answers with status ${error.code}`); // as it does at its start
    if (/MEMORY/.test(cause.errorName)) {
      return new QueryRefused(`The query ran out of memory: ${first} Ask for less, or raise LOC_TRINO_MEMORY.`);
    }
    return cause.errorType === 'USER_ERROR' ? new Error(first) : this.#down(cause.errorName ? `${cause.errorName}, ${first}` : first);
  }

  async stream() {
    throw new QueryRefused('Results are not streamed here: ask by /load.');
  }
}

/** Ask Trino without logging in, as `/readyz` is asked often. */
function trouble({ trino: { port, certificate } }) {
  return new Promise((resolve, reject) => {
    const ca = fs.readFileSync(certificate);
    const request = https.get({ host: HOST, port, path: '/v1/info', ca, signal: AbortSignal.timeout(PROBE) }, async (answer) => {
      try {
        resolve(JSON.parse((await answer.toArray()).join('')).starting ? 'it is starting' : null);
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
  }).then((why) => why && down(port, why), (error) => down(port, error.message));
}

const ENGINE = { file: 'manifest.json', Driver: VersionDriver, trouble, down: new RegExp(`^(?:Error: )?(${DOWN}[^]*)`) };

module.exports = { ENGINE };
