'use strict';
/**
 * The SQL of queries, as Cube's own for DuckDB but for times: those of a published file are TIMESTAMP in UTC or DATE, and
 * Cube compares and groups them as TIMESTAMPTZ, a cast of every row that keeps DuckDB from skipping row groups.
 * The driver sets the time zone of the session to UTC, so that a column that is TIMESTAMPTZ means the same in both.
 */
const { DuckDBQuery } = require('@cubejs-backend/duckdb-driver/dist/src/DuckDBQuery.js');

class PublishedQuery extends DuckDBQuery {
  timeStampCast(value) {
    return `${value}::timestamp`;
  }

  convertTz(field) {
    return !this.timezone || this.timezone === 'UTC' ? `${field}::timestamp` : super.convertTz(field);
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
