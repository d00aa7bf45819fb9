'use strict';
/** Cube's driver for one published version: the file is open read-only and locked while it is served. */
const duckdb = require('@duckdb/node-api');
const { DuckDBDriver } = require('@cubejs-backend/duckdb-driver');
const { buildTransform, transformChunk, convertDuckDBParams } = require('@cubejs-backend/duckdb-driver/dist/src/Transform.js');
const { PublishedQuery } = require('./dialect');
const { QueryRefused, tooLarge, tooSlow } = require('../refusal');

/** The same as LOCKED of proto_loc/warehouse/guard.py, except for settings of the Python package. */
const LOCKED = {
  temp_directory: '', // a query over its memory fails instead of spilling; must come before the next option
  enable_external_access: 'false',
  autoinstall_known_extensions: 'false',
  autoload_known_extensions: 'false',
  allow_community_extensions: 'false',
  allow_persistent_secrets: 'false',
  lock_configuration: 'true',
};

const UNCUT = 1000; // milliseconds that DuckDB has to obey an interrupt, which it does between two chunks

class VersionDriver extends DuckDBDriver {
  /**
   * @param {import('../versions').Version} version
   * @param {import('../settings').Settings} settings
   */
  constructor(version, settings) {
    super({});
    this.version = version;
    this.settings = settings;
    this.running = new Set();
    /** @type {(() => void)[]} */
    this.waiting = [];
    /** @type {import('@duckdb/node-api').DuckDBConnection[]} */
    this.idle = [];
  }

  static dialectClass() {
    return PublishedQuery;
  }

  readOnly() {
    return true;
  }

  async init() {
    const instance = await duckdb.DuckDBInstance.create(this.version.file, {
      access_mode: 'READ_ONLY',
      memory_limit: this.settings.memory,
      threads: String(this.settings.threads),
    });
    try {
      const connection = await instance.connect();
      await connection.run("SET GLOBAL TimeZone = 'UTC'"); // published times have no zone
      for (const [name, value] of Object.entries(LOCKED)) await connection.run(`SET GLOBAL ${name} = '${value}'`);
      this.idle.push(connection);
      return { defaultConnection: connection, instance };
    } catch (error) {
      instance.closeSync();
      throw error;
    }
  }

  /**
   * Run a statement; return its rows as objects.
   *
   * @throws {QueryRefused} It ran longer than the time-out, or its result is too large.
   */
  async query(sql, values = []) {
    const { instance } = await this.getInitiatedState();
    const connection = this.idle.pop() || (await instance.connect());
    this.running.add(connection);
    let late = false;
    let timer;
    const cut = new Promise((_, refuse) => {
      timer = setTimeout(() => {
        late = true;
        connection.interrupt();
        timer = setTimeout(refuse, UNCUT, tooSlow(this.settings)); // the statement still runs, but nobody waits for it
      }, this.settings.timeout * 1000);
    });
    const rows = this.#rows(connection, sql, values).catch((error) => {
      throw late ? tooSlow(this.settings) : this.#explained(error);
    }).finally(() => {
      clearTimeout(timer);
      this.running.delete(connection);
      if (late || this.idle.length >= 4) connection.closeSync(); // a late interrupt must not hit another query
      else this.idle.push(connection);
      if (!this.running.size) this.waiting.splice(0).forEach((done) => done());
    });
    return Promise.race([rows, cut]);
  }

  async #rows(connection, sql, values) {
    const result = await connection.stream(sql, convertDuckDBParams(values));
    const transform = buildTransform(result.columnNames(), result.columnTypes());
    const rows = [];
    for (;;) {
      const chunk = await result.fetchChunk();
      if (!chunk || chunk.rowCount === 0) return rows;
      const refused = tooLarge(rows.length + chunk.rowCount, result.columnCount, this.settings);
      if (refused) throw refused;
      for (const row of transformChunk(chunk, transform)) rows.push(row);
    }
  }

  #explained(error) {
    const first = String(error.message || error).split('\n')[0];
    if (!/out of memory/i.test(first)) return error;
    return new QueryRefused(
      `The query ran out of memory: ${first} Ask for less, or raise LOC_QUERY_MEMORY (now ${this.settings.memory}).`,
    );
  }

  async stream() {
    throw new QueryRefused('Results are not streamed here: ask by /load.');
  }

  /** Close the file, once its queries have ended, at the latest by their time-out. */
  async release() {
    if (this.running.size) await new Promise((done) => { this.waiting.push(done); });
    const { initPromise } = this;
    this.initPromise = null;
    if (!initPromise) return;
    const { instance } = await initPromise;
    for (const connection of this.idle.splice(0)) connection.closeSync();
    instance.closeSync();
  }
}

const ENGINE = { file: 'prod.duckdb', Driver: VersionDriver, trouble: async () => null, down: null };

module.exports = { ENGINE, VersionDriver, LOCKED };
