'use strict';
/**
 * Cube's SQL dialect of DuckDB, with two corrections.
 *
 * Times: a published file has columns of the types TIMESTAMP (in UTC) or DATE, but Cube casts them to TIMESTAMPTZ. Such a
 * cast of every row keeps DuckDB from skipping row groups, so this dialect casts to TIMESTAMP. (The driver sets the
 * session's time zone to UTC, so that a TIMESTAMPTZ column has the same meaning in both types.)
 *
 * Filters: Cube escapes the wildcards of LIKE, but omits the ESCAPE clause that DuckDB needs. It also compares every number
 * as DOUBLE, which cannot tell integers above 2^53 apart.
 */
const { BaseFilter } = require('@cubejs-backend/schema-compiler');
const { DuckDBQuery } = require('@cubejs-backend/duckdb-driver/dist/src/DuckDBQuery.js');

const NUMBERS = ['number', 'count', 'count_distinct', 'count_distinct_approx', 'sum', 'avg', 'min', 'max'];

/** The DuckDB type that represents a number exactly; DOUBLE if there is none. */
function numberType(text) {
  const [, integer, fraction] = /^[+-]?(\d+)(?:\.(\d+))?$/.exec(text) || [];
  if (integer === undefined) return 'DOUBLE'; // 1e3, Infinity, or not a number, which DuckDB reports
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

  /** A day ends with its last microsecond, DuckDB's precision. */
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
}

module.exports = { PublishedQuery };
