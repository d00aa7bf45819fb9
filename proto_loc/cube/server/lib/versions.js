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
      const link = this.#link();
      if (link === null) return null;
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

  /**
   * Where `current` leads, relative to the database's folder. A copy that keeps no links loses it or makes it a folder or
   * a file: then what the file `served` says, else the newest version, until the warehouse puts the link right.
   *
   * @returns {string | null}
   */
  #link() {
    try {
      return fs.readlinkSync(path.join(this.home, 'current'));
    } catch (error) {
      if (!['ENOENT', 'EINVAL'].includes(error.code)) throw error;
    }
    const versions = path.join(this.home, 'versions');
    const kept = fs.existsSync(versions) ? fs.readdirSync(versions).filter((name) => /^\d+$/.test(name)).sort() : [];
    const served = path.join(this.home, 'served');
    const recorded = fs.existsSync(served) ? fs.readFileSync(served, 'utf8').trim() : '';
    const found = kept.includes(recorded) ? recorded : kept.at(-1);
    return found ? path.join('versions', found) : null;
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
