'use strict';
/** A query that is stopped, and the limits by which it is. */

const CELLS = 500000; // rows times columns of one result; it takes about 60 MB while it is sent

class QueryRefused extends Error {
  toString() {
    return this.message;
  }
}

/** @param {import('./settings').Settings} settings */
const tooSlow = (settings) => new QueryRefused(
  `The query was stopped: it ran longer than ${settings.timeout} seconds. Ask for less: a shorter time, `
  + 'fewer dimensions, or raise LOC_CUBE_TIMEOUT.',
);

/**
 * The refusal of a result that is too large; undefined if it is not.
 *
 * @param {number} rows So many were read.
 * @param {number} columns
 * @param {import('./settings').Settings} settings
 */
function tooLarge(rows, columns, settings) {
  if (rows > settings.rows + 1) {
    return new QueryRefused(`The query was stopped: it gives more than ${settings.rows} rows (LOC_CUBE_ROWS).`);
  }
  if (rows > Math.floor(CELLS / columns)) {
    return new QueryRefused(`The query was stopped: it gives more than ${CELLS} values. Ask for fewer rows or columns.`);
  }
  return undefined;
}

module.exports = { QueryRefused, tooLarge, tooSlow };
