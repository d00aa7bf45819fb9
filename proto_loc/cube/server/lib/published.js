'use strict';
/** What the SQL dialects of all engines have in common. */

/** The types of members that are numbers, also as Cube writes them when it has read a file in YAML. */
const NUMBERS = [
  'number', 'count', 'count_distinct', 'count_distinct_approx', 'countDistinct', 'countDistinctApprox', 'sum', 'avg', 'min', 'max',
];

/**
 * The type that represents a number exactly; DOUBLE if there is none.
 *
 * @param {string} text
 * @param {string} wide The engine's type for whole numbers of more than 18 digits.
 */
function numberType(text, wide) {
  const [, integer, fraction] = /^[+-]?(\d+)(?:\.(\d+))?$/.exec(text) || [];
  if (integer === undefined) return 'DOUBLE'; // 1e3, Infinity, or not a number, which the engine reports
  if (fraction === undefined) return integer.length <= 18 ? 'BIGINT' : integer.length <= 38 ? wide : 'DOUBLE';
  const digits = Math.max(integer.length + fraction.length, 1);
  return digits <= 38 ? `DECIMAL(${digits}, ${fraction.length})` : 'DOUBLE';
}

/** Extend a dialect of Cube for versions, which never change and have times with microseconds. */
const published = (Dialect) => class extends Dialect {
  /** A day ends with its last microsecond, the precision of both engines. */
  timestampPrecision() {
    return 6;
  }

  timestampFormat() {
    return 'YYYY-MM-DD[T]HH:mm:ss.SSSSSS[Z]';
  }

  /** A version never changes, so a result needs no refresh key, unless its cube defines one. */
  refreshKeysByCubes(cubes, transform) {
    return super.refreshKeysByCubes(cubes.filter((cube) => this.cubeEvaluator.cubeFromPath(cube).refreshKey), transform);
  }
};

module.exports = { NUMBERS, numberType, published };
