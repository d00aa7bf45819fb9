'use strict';
/**
 * Finds the published version of `prod` (see proto_loc/warehouse/store.py): `current` is a link to `versions/<id>`.
 *
 * @typedef {object} Version
 * @property {string} key Identifies the content. A rollback returns to an older key; new data always get a new one.
 * @property {number} id
 * @property {string} file The file that each publish makes anew: the version's DuckDB file, or its manifest.
 * @property {string} publishedAt
 * @property {boolean} empty Whether nothing has been loaded yet.
 */
const fs = require('fs');
const path = require('path');
const { another } = require('./engines');

class Versions {
  /**
   * @param {string} warehouse
   * @param {import('./engines').Engine} engine The engine of LOC_ENGINE: it alone can read its versions.
   */
  constructor(warehouse, engine) {
    this.home = path.join(warehouse, 'prod');
    this.engine = engine;
    /** @type {Version | null} */
    this.last = null;
  }

  /**
   * Get the current version; null if there is none. It costs two system calls if the version has not changed.
   *
   * @returns {Version | null}
   */
  current() {
    for (let attempt = 0; ; attempt += 1) {
      const link = this.#link();
      if (link === null) return null;
      try {
        const found = fs.statSync(path.join(this.home, link, this.engine.file));
        const key = `${path.basename(link)}-${found.ino.toString(36)}-${Math.trunc(found.mtimeMs).toString(36)}`;
        if (this.last?.key !== key) this.last = this.#read(path.join(this.home, link), key);
        return this.last;
      } catch (error) {
        if (attempt < 4) continue; // a publish and a prune may have happened between the two calls
        this.#read(path.join(this.home, link)); // throws if the version is another engine's, whose folder has other files
        throw error;
      }
    }
  }

  /**
   * The target of the link `current`, relative to the database's folder. A copy of the data may have lost the link; then
   * the file `served` names the version, or else it is the newest one, until the warehouse repairs the link.
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

  /**
   * @returns {Version}
   * @throws {Error} Another engine keeps it.
   */
  #read(folder, key) {
    const manifest = JSON.parse(fs.readFileSync(path.join(folder, 'manifest.json'), 'utf8'));
    const keeper = manifest.engine || 'duckdb';
    if (keeper !== this.engine.name) throw another(manifest.id, keeper, this.engine.name);
    return {
      key,
      id: manifest.id,
      file: path.join(folder, this.engine.file),
      publishedAt: manifest.published_at,
      empty: !Object.keys(manifest.tables).some((table) => table.startsWith('marts.')),
    };
  }
}

module.exports = { Versions };
