'use strict';
/** Authentication and row-level security of Cube's requests. */
const jwt = require('jsonwebtoken');
const { CubejsHandlerError } = require('@cubejs-backend/api-gateway');
const { filters, limits } = require('./access');
const { tokenOf } = require('./bounds');
const { strange } = require('./request');

/**
 * Make Cube's `checkAuth`: it accepts a token that is signed with the secret (HS256 only), has not expired, and has valid
 * claims.
 *
 * @param {string} secret
 */
function checkAuth(secret) {
  return (req, token) => {
    if (!token) throw new CubejsHandlerError(403, 'Forbidden', 'A token is required: Authorization: Bearer $(./loc token)');
    let claims;
    try {
      claims = jwt.verify(token, secret, { algorithms: ['HS256'] });
    } catch (error) {
      throw new CubejsHandlerError(403, 'Forbidden', `Invalid token: ${error.message}`);
    }
    if (typeof claims !== 'object') throw new CubejsHandlerError(403, 'Forbidden', 'Invalid token: it holds no claims');
    limits(claims);
    req.securityContext = claims;
  };
}

/**
 * Make Cube's `queryRewrite`, through which every query of every API passes: it refuses expressions, keeps times as they
 * are published, and adds a limited token's filters for every cube that the query reads, also through other members and
 * views.
 *
 * @param {(context: object) => Promise<object>} compilerApi
 */
function limitRows(compilerApi) {
  return async (given, context) => {
    const wrong = strange(given);
    if (wrong) throw new CubejsHandlerError(400, 'Bad Request', wrong);
    const query = { ...given, timezone: 'UTC' }; // published times are local times: a time zone must not shift them
    const claims = limits(context.securityContext);
    if (!claims) return query;
    const api = await compilerApi(context);
    const { cubeEvaluator } = await api.getCompilers();
    const cubes = (names) => names.map((name) => cubeEvaluator.cubeFromPath(name)).filter((cube) => !cube.isView);
    const model = cubes(cubeEvaluator.cubeNames());
    const limiting = filters(claims, model, cubes([...await api.getCubesFromQuery(query, context)]));
    return limiting ? { ...query, filters: [...(query.filters || []), ...limiting] } : query;
  };
}

/**
 * Make the handler that refuses the SQL API. Only the addon implements that API, but it is refused with the addon too:
 * `limitRows` and the limits of a request do not cover SQL that a client writes.
 *
 * @param {ReturnType<typeof checkAuth>} check
 * @param {string} why
 * @returns {import('express').RequestHandler}
 */
function withoutSqlApi(check, why) {
  return (req, res, next) => {
    const asked = /\/(cubesql|convert-query)\/*$/i.test(req.path) || [req.body?.format, req.query.format].flat().includes('sql');
    if (!asked) return next();
    try {
      check(req, tokenOf(req));
    } catch (error) {
      return res.status(error.status || 500).json({ error: error.message });
    }
    return res.status(501).json({ error: why });
  };
}

module.exports = { checkAuth, limitRows, withoutSqlApi };
