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
const { NUMBERS, numberType, published } = require('../published');

class PublishedFilter extends BaseFilter {
  allocateCastParam(value) {
    const { type } = this.definition();
    const param = this.allocateParam(value);
    if (type === 'time') return this.query.timeStampCast(param); // else a DATE would equal any time of its day
    return NUMBERS.includes(type) ? `CAST(${param} AS ${numberType(String(value), 'HUGEINT')})` : param;
  }

  likeIgnoreCase(...given) {
    return `${super.likeIgnoreCase(...given)} ESCAPE '\\'`;
  }
}

class PublishedQuery extends published(DuckDBQuery) {
  newFilter(filter) {
    return new PublishedFilter(this, filter);
  }

  timeStampCast(value) {
    return `${value}::timestamp`;
  }

  convertTz(field) {
    return `${field}::timestamp`;
  }
}

module.exports = { PublishedQuery };
