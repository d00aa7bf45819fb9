'use strict';
/** Who may ask, and which rows a token lets one see. */
const jwt = require('jsonwebtoken');
const { CubejsHandlerError } = require('@cubejs-backend/api-gateway');
const { tokenOf } = require('./bounds');
const { strange } = require('./request');

/**
 * Cube's `checkAuth`: a token signed with the secret, HS256 and nothing else, not expired, with no claim that is not read.
 *
 * @param {string} secret
 * @param {import('./access').Access} access
 */
function checkAuth(secret, access) {
  return (req, token) => {
    if (!token) throw new CubejsHandlerError(403, 'Forbidden', 'A token is required: Authorization: Bearer $(./loc token)');
    let claims;
    try {
      claims = jwt.verify(token, secret, { algorithms: ['HS256'] });
    } catch (error) {
      throw new CubejsHandlerError(403, 'Forbidden', `Invalid token: ${error.message}`);
    }
    if (typeof claims !== 'object') throw new CubejsHandlerError(403, 'Forbidden', 'Invalid token: it holds no claims');
    access.limits(claims);
    req.securityContext = claims;
  };
}

/**
 * Cube's `queryRewrite`, which every query passes whichever way it came: names and values only, times as they are
 * published, and for a limited token a filter on every cube that the query reads, also by way of other members and of
 * views.
 *
 * A cube without the dimension is refused to such a token: its rows could not be limited. So is one with a dimension
 * that is a query of its own, which a filter does not reach.
 *
 * @param {(context: object) => Promise<object>} compilerApi
 * @param {import('./access').Access} access
 */
function limitRows(compilerApi, access) {
  return async (given, context) => {
    const wrong = strange(given);
    if (wrong) throw new CubejsHandlerError(400, 'Bad Request', wrong);
    const query = { ...given, timezone: 'UTC' }; // published times are local times and dates: no zone may move them
    const limits = access.limits(context.securityContext);
    if (!limits) return query;
    if (!Object.keys(limits).length) {
      throw new CubejsHandlerError(403, 'Forbidden', 'This token says nothing of rows, so it sees none: mint one with ./loc token '
        + '--all-rows, or with --claims that a rule of cube/access.yml reads');
    }
    const api = await compilerApi(context);
    const { cubeEvaluator } = await api.getCompilers();
    const read = [...await api.getCubesFromQuery(query, context)].map((name) => cubeEvaluator.cubeFromPath(name));
    const cubes = read.filter((cube) => !cube.isView);
    if (!cubes.length) throw new CubejsHandlerError(403, 'Forbidden', 'This token is limited, and the query reads no cube');
    const filters = cubes.flatMap((cube) => access.filters(cube, limits));
    const within = cubes.find((cube) => Object.values(cube.dimensions).some((dimension) => dimension.subQuery));
    if (within) throw new CubejsHandlerError(403, 'Forbidden', `This token is limited, and ${within.name} has a sub-query`);
    return { ...query, filters: [...(query.filters || []), ...filters] };
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
