'use strict';
/**
 * Row-level security: decides which rows a token sees. A cube declares its rules in the model, as `meta: {access: {claim:
 * dimension}}`; `loc generate` writes them from dbt, and a cube written by hand has its own. A limited token cannot read a
 * cube without a rule, and where the model has a rule, a token without claims sees no rows.
 */
const { CubejsHandlerError } = require('@cubejs-backend/api-gateway');

const ALL_ROWS = 'all_rows';
const OF_A_TOKEN = ['iat', 'exp', 'nbf', 'iss', 'aud', 'sub', 'jti']; // standard claims of a JWT; they do not limit rows
const NAME = /^[A-Za-z_]\w*$/;

const refusal = (why) => new CubejsHandlerError(403, 'Forbidden', why);

/**
 * Get the claims of a token that limit rows; null if it sees all rows.
 *
 * @param {Record<string, unknown>} claims
 * @returns {Record<string, string[]> | null}
 * @throws {CubejsHandlerError} A claim is not valid.
 */
function limits(claims) {
  const names = Object.keys(claims || {}).filter((name) => !OF_A_TOKEN.includes(name));
  if (names.includes(ALL_ROWS)) {
    if (names.length === 1 && claims[ALL_ROWS] === true) return null;
    throw refusal(`The claim ${ALL_ROWS} is true, and stands alone`);
  }
  return Object.fromEntries(names.map((name) => {
    const values = claims[name];
    if (!Array.isArray(values) || !values.length || !values.every((value) => typeof value === 'string' && value)) {
      throw refusal(`The claim ${name} must be a list of names`);
    }
    return [name, values];
  }));
}

/**
 * Get the rules of a cube: the dimension of each claim.
 *
 * @param {{name: string, dimensions?: object, meta?: {access?: unknown}}} cube
 * @returns {Record<string, string>}
 * @throws {CubejsHandlerError} The declaration is not valid, or names a dimension that the cube lacks.
 */
function rules(cube) {
  const access = cube.meta?.access ?? {};
  const dimensions = cube.dimensions || {};
  const sound = typeof access === 'object' && !Array.isArray(access) && Object.entries(access).every(([claim, dimension]) => (
    NAME.test(claim) && ![ALL_ROWS, ...OF_A_TOKEN].includes(claim) && Object.hasOwn(dimensions, dimension)));
  if (!sound) throw refusal(`meta.access of ${cube.name} must map each claim to one of its dimensions`);
  return access;
}

/**
 * Make the filters that limit a query to the rows that a token may see.
 *
 * @param {Record<string, string[]>} claims From `limits`.
 * @param {object[]} model Every cube of the model.
 * @param {object[]} read The cubes that the query reads.
 * @returns {object[] | null} null if the model has no rule and the token no claim.
 * @throws {CubejsHandlerError} These claims cannot limit the rows of a cube.
 */
function filters(claims, model, read) {
  const known = new Set(model.flatMap((cube) => Object.keys(rules(cube))));
  const names = Object.keys(claims);
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw refusal(`No rule reads the claim ${unknown}, so this token sees no rows; rules read: ${[...known].join(', ') || 'none'}`);
  }
  if (!known.size) return null;
  if (!names.length) {
    throw refusal('This token says nothing of rows, so it sees none: mint one with ./loc token --all-rows, or with --claims '
      + `that a rule reads: ${[...known].join(', ')}`);
  }
  if (!read.length) throw refusal('This token is limited, and the query reads no cube');
  return read.flatMap((cube) => {
    const own = rules(cube);
    const open = names.find((name) => !Object.hasOwn(own, name));
    if (open !== undefined) throw refusal(`This token is limited by ${open}, and ${cube.name} has no rule for ${open}`);
    const silent = Object.keys(own).find((claim) => !Object.hasOwn(claims, claim));
    if (silent) throw refusal(`This token says nothing of ${silent}, so it sees no rows of ${cube.name}`);
    if (Object.values(cube.dimensions).some((dimension) => dimension.subQuery)) {
      throw refusal(`This token is limited, and ${cube.name} has a sub-query`); // a filter does not limit it
    }
    return names.map((name) => ({ member: `${cube.name}.${own[name]}`, operator: 'equals', values: claims[name] }));
  });
}

module.exports = { limits, filters };
