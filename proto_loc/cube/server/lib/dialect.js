'use strict';
/**
 * The SQL of queries, as Cube's own for DuckDB but for times: those of a published file are TIMESTAMP in UTC or DATE, and
 * Cube compares and groups them as TIMESTAMPTZ, a cast of every row that keeps DuckDB from skipping row groups.
 * The driver sets the time zone of the session to UTC, so that a column that is TIMESTAMPTZ means the same in both.
 * Filters as well: Cube escapes the wildcards of a value for LIKE without an ESCAPE, which DuckDB wants said, and
 * compares every number as DOUBLE, in which integers above 2^53 are equal to their neighbours.
 */
const { BaseFilter } = require('@cubejs-backend/schema-compiler');
const { DuckDBQuery } = require('@cubejs-backend/duckdb-driver/dist/src/DuckDBQuery.js');

const NUMBERS = ['number', 'count', 'count_distinct', 'count_distinct_approx', 'sum', 'avg', 'min', 'max'];

/** DuckDB's type that holds a number's digits exactly; DOUBLE where there is none. */
function numberType(text) {
  const [, integer, fraction] = /^[+-]?(\d+)(?:\.(\d+))?$/.exec(text) || [];
  if (integer === undefined) return 'DOUBLE'; // 1e3, Infinity, or no number, which DuckDB says
  if (fraction === undefined) return integer.length <= 18 ? 'BIGINT' : integer.length <= 38 ? 'HUGEINT' : 'DOUBLE';
  const digits = Math.max(integer.length + fraction.length, 1);
  return digits <= 38 ? `DECIMAL(${digits}, ${fraction.length})` : 'DOUBLE';
}

class PublishedFilter extends BaseFilter {
  allocateCastParam(value) {
    const param = this.allocateParam(value);
    return NUMBERS.includes(this.definition().type) ? `CAST(${param} AS ${numberType(String(value))})` : param;
  }

  likeIgnoreCase(...given) {
    return `${super.likeIgnoreCase(...given)} ESCAPE '\\'`;
  }
}

class PublishedQuery extends DuckDBQuery {
  newFilter(filter) {
    return new PublishedFilter(this, filter);
  }

  timeStampCast(value) {
    return `${value}::timestamp`;
  }

  convertTz(field) {
    return `${field}::timestamp`;
  }

  /** A day ends with its last microsecond, which is what DuckDB counts in. */
  timestampPrecision() {
    return 6;
  }

  timestampFormat() {
    return 'YYYY-MM-DD[T]HH:mm:ss.SSSSSS[Z]';
  }

  /**
   * A version never changes, so no query asks whether a result is still right, unless its cube says how.
   */
  refreshKeysByCubes(cubes, transform) {
    return super.refreshKeysByCubes(cubes.filter((cube) => this.cubeEvaluator.cubeFromPath(cube).refreshKey), transform);
  }
}

module.exports = { PublishedQuery };
