'use strict';
/**
 * The engines that keep versions, by the name in their manifests; each is loaded only if it is used.
 *
 * @typedef {object} Engine
 * @property {string} name As in LOC_ENGINE and in manifests.
 * @property {string} title As in messages.
 * @property {string} file The file of a version's folder that each publish makes anew.
 * @property {typeof import('@cubejs-backend/base-driver').BaseDriver} Driver Its constructor takes a version and the settings.
 * @property {(settings: import('./settings').Settings) => Promise<string | null>} trouble Why no query can be answered now.
 * @property {RegExp | null} down Matches the message of an error that no query can help: the engine does not work.
 */
const MODULES = { duckdb: './duckdb/driver', trino: './trino/driver' };
const TITLES = { duckdb: 'DuckDB', trino: 'Trino' };

/** @param {string} name @returns {Engine} */
function named(name) {
  if (!Object.hasOwn(MODULES, name)) throw new Error(`There is no engine ${JSON.stringify(name)}.`);
  return { name, title: TITLES[name], ...require(MODULES[name]).ENGINE };
}

/** Why a version of another engine is not served; the same as `another` of proto_loc/warehouse/engine.py. */
function another(id, keeper, wanted) {
  return new Error(`version ${id} of prod is kept by ${TITLES[keeper] || keeper}, and LOC_ENGINE is ${wanted}: run \`loc db move `
    + `${wanted}\` to move it, or set LOC_ENGINE=${keeper}`);
}

module.exports = { another, named };
