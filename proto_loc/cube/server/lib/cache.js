'use strict';
/**
 * In-memory LRU cache of the results of one version. It belongs to the version's orchestrator, and is dropped with it.
 * (Cube's own memory cache is shared by all versions, and is never emptied.)
 */
const { createCancelablePromise } = require('@cubejs-backend/shared');

class VersionCache {
  /** @param {number} bytes Maximum size of all results, as JSON; a result of more than a quarter of it is not cached. */
  constructor(bytes) {
    this.limit = bytes;
    this.held = 0;
    /** @type {Map<string, {value: unknown, bytes: number, ends: number}>} Least recently used first. */
    this.entries = new Map();
    this.locks = new Set();
  }

  async get(key) {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.#drop(key);
    if (entry.ends < Date.now()) return undefined;
    this.#keep(key, entry);
    return entry.value;
  }

  async set(key, value, seconds) {
    const bytes = Buffer.byteLength(JSON.stringify(value)) + key.length;
    this.#drop(key);
    if (bytes <= this.limit / 4) this.#keep(key, { value, bytes, ends: Date.now() + seconds * 1000 });
    for (const oldest of this.entries.keys()) {
      if (this.held <= this.limit) break;
      this.#drop(oldest);
    }
    return { key, bytes };
  }

  #keep(key, entry) {
    this.entries.set(key, entry);
    this.held += entry.bytes;
  }

  #drop(key) {
    this.held -= this.entries.get(key)?.bytes || 0;
    this.entries.delete(key);
  }

  async remove(key) {
    this.#drop(key);
  }

  async keysStartingWith(prefix) {
    return [...this.entries.keys()].filter((key) => key.startsWith(prefix));
  }

  withLock = (key, work) => createCancelablePromise(async (token) => {
    if (this.locks.has(key)) return false;
    this.locks.add(key);
    try {
      await token.with(work());
      return true;
    } finally {
      this.locks.delete(key);
    }
  });

  async cleanup() {
    this.entries.clear();
    this.held = 0;
  }

  async testConnection() {} // nothing to connect to
}

module.exports = { VersionCache };
