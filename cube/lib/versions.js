'use strict';
/**
 * The published versions of `prod` (see proto_loc/warehouse/store.py): `current` is a link to `versions/<id>`.
 *
 * @typedef {object} Version
 * @property {string} key Unique to what is published: a rollback gives the key of the older version again, and data
 *   that were removed and loaded anew never give an old key.
 * @property {number} id
 * @property {string} file The DuckDB file, in the folder of its version.
 * @property {string} publishedAt
 * @property {boolean} empty Nothing has been loaded yet.
 */
const fs = require('fs');
const path = require('path');

class Versions {
  /** @param {string} warehouse */
  constructor(warehouse) {
    this.home = path.join(warehouse, 'prod');
    /** @type {Version | null} */
    this.last = null;
  }

  /**
   * The version that readers get now; null if there is none. Two system calls where it is the one of the last call.
   *
   * @returns {Version | null}
   */
  current() {
    for (let attempt = 0; ; attempt += 1) {
      let link;
      try {
        link = fs.readlinkSync(path.join(this.home, 'current'));
      } catch (error) {
        if (error.code === 'ENOENT') return null;
        throw error;
      }
      try {
        const found = fs.statSync(path.join(this.home, link, 'prod.duckdb'));
        const key = `${path.basename(link)}-${found.ino.toString(36)}-${Math.trunc(found.mtimeMs).toString(36)}`;
        if (this.last?.key !== key) this.last = this.#read(path.join(this.home, link), key);
        return this.last;
      } catch (error) {
        if (attempt === 4) throw error; // until then: a publish and a prune may have passed by
      }
    }
  }

  /** @returns {Version} */
  #read(folder, key) {
    const manifest = JSON.parse(fs.readFileSync(path.join(folder, 'manifest.json'), 'utf8'));
    return {
      key,
      id: manifest.id,
      file: path.join(folder, 'prod.duckdb'),
      publishedAt: manifest.published_at,
      empty: !Object.keys(manifest.tables).some((table) => table.startsWith('marts.')),
    };
  }
}

module.exports = { Versions };
