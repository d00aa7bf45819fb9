'use strict';
/** Who may ask, and which rows a token lets one see. */
const jwt = require('jsonwebtoken');
const { CubejsHandlerError } = require('@cubejs-backend/api-gateway');
const { filters, limits } = require('./access');
const { tokenOf } = require('./bounds');
const { strange } = require('./request');

/**
 * Cube's `checkAuth`: a token signed with the secret, HS256 and nothing else, not expired, with claims of the right form.
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
 * Cube's `queryRewrite`, which every query passes whichever way it came: names and values only, times as they are
 * published, and for a limited token a filter on every cube that the query reads, also by way of other members and of
 * views.
 *
 * @param {(context: object) => Promise<object>} compilerApi
 */
function limitRows(compilerApi) {
  return async (given, context) => {
    const wrong = strange(given);
    if (wrong) throw new CubejsHandlerError(400, 'Bad Request', wrong);
    const query = { ...given, timezone: 'UTC' }; // published times are local times and dates: no zone may move them
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
 * The SQL API is part of the addon, and not offered with it either: it takes SQL of the asker's own, for which
 * `limitRows` and the bounds of a request were not made.
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
