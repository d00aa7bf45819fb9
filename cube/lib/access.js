'use strict';
/**
 * The rules of access.yml, and what a token's claims come to by them. What is not said is not allowed: a claim that no
 * rule reads was to limit something, and a token that says nothing of rows sees none.
 *
 * @typedef {{claim: string, dimension: string}} Rule
 */
const fs = require('fs');
const { CubejsHandlerError } = require('@cubejs-backend/api-gateway');
const { parse } = require('yaml');

const ALL_ROWS = 'all_rows';
const OF_A_TOKEN = ['iat', 'exp', 'nbf', 'iss', 'aud', 'sub', 'jti']; // of the standard; they say nothing of rows
const NAME = /^[A-Za-z_]\w*$/;

const refused = (why) => new CubejsHandlerError(403, 'Forbidden', why);

class Access {
  /** @param {string} file Of rules; read again when it changes. */
  constructor(file) {
    this.file = file;
    this.rules(); // or the server does not start
  }

  /**
   * @returns {Rule[]}
   * @throws {Error} The file cannot be read, or holds something else: nothing is answered until it is mended.
   */
  rules() {
    const { mtimeMs, size, ino } = fs.statSync(this.file);
    const state = `${mtimeMs} ${size} ${ino}`;
    if (state !== this.state) {
      this.known = this.#read();
      this.state = state;
    }
    return this.known;
  }

  #read() {
    const rules = parse(fs.readFileSync(this.file, 'utf8'));
    const sound = Array.isArray(rules) && rules.every((rule) => NAME.test(rule?.claim) && NAME.test(rule?.dimension)
      && Object.keys(rule).length === 2 && ![ALL_ROWS, ...OF_A_TOKEN].includes(rule.claim));
    const claims = sound ? rules.map(({ claim }) => claim) : [];
    if (!sound || new Set(claims).size < claims.length) {
      throw new Error(`${this.file} holds no list of rules such as { claim: boroughs, dimension: pickup_borough }, each claim once`);
    }
    return rules;
  }

  /**
   * The values to which a token limits rows, by the dimension of each rule that its claims name; null where it is not
   * limited. An empty object: it sees no rows.
   *
   * @param {Record<string, unknown>} claims
   * @returns {Record<string, string[]> | null}
   * @throws {CubejsHandlerError} A claim is read by no rule, or has another form: nothing is answered.
   */
  limits(claims) {
    const rules = this.rules();
    const names = Object.keys(claims || {}).filter((name) => !OF_A_TOKEN.includes(name));
    if (names.includes(ALL_ROWS)) {
      if (names.length === 1 && claims[ALL_ROWS] === true) return null;
      throw refused(`The claim ${ALL_ROWS} is true, and stands alone`);
    }
    const unread = names.find((name) => !rules.some(({ claim }) => claim === name));
    if (unread !== undefined) {
      throw refused(`No rule reads the claim ${unread}, so this token sees no rows; rules read: ${rules.map(({ claim }) => claim).join(', ') || 'none'}`);
    }
    if (!rules.length) return null;
    return Object.fromEntries(rules.filter(({ claim }) => names.includes(claim)).map(({ claim, dimension }) => {
      const values = claims[claim];
      if (!Array.isArray(values) || !values.length || !values.every((value) => typeof value === 'string' && value)) {
        throw refused(`The claim ${claim} must be a list of names, such as ["Queens"]`);
      }
      return [dimension, values];
    }));
  }

  /**
   * The filters that limit a cube.
   *
   * @param {{name: string, dimensions?: object}} cube
   * @param {Record<string, string[]>} limits
   * @throws {CubejsHandlerError} A limit is on a dimension that it has not, or a rule is on one and the token says nothing.
   */
  filters(cube, limits) {
    const has = (dimension) => Object.hasOwn(cube.dimensions || {}, dimension);
    const open = Object.keys(limits).find((dimension) => !has(dimension));
    if (open !== undefined) throw refused(`This token is limited by ${open}, and ${cube.name} has no ${open}`);
    const silent = this.rules().find(({ dimension }) => has(dimension) && !Object.hasOwn(limits, dimension));
    if (silent) throw refused(`This token says nothing of ${silent.claim}, so it sees no rows of ${cube.name}`);
    return Object.entries(limits).map(([dimension, values]) => ({ member: `${cube.name}.${dimension}`, operator: 'equals', values }));
  }
}

module.exports = { Access };
