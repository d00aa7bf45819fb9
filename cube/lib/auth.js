'use strict';
/** Who may ask, and which rows a token lets one see. */
const jwt = require('jsonwebtoken');
const { CubejsHandlerError } = require('@cubejs-backend/api-gateway');
const { strange } = require('./request');

const LIMITED = 'pickup_borough';
const CLAIM = 'boroughs';

/** Cube's `checkAuth`: a token signed with the secret, HS256 and nothing else, not expired. */
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
    boroughs(claims);
    req.securityContext = claims;
  };
}

/**
 * The boroughs that a token limits rows to; null if it does not.
 *
 * @throws {CubejsHandlerError} The claim is there and is no list of names: nothing is answered, rather than everything.
 */
function boroughs(claims) {
  if (!claims || !(CLAIM in claims)) return null;
  const names = claims[CLAIM];
  if (!Array.isArray(names) || !names.length || !names.every((name) => typeof name === 'string' && name)) {
    throw new CubejsHandlerError(403, 'Forbidden', `The claim ${CLAIM} must be a list of names, such as ["Queens"]`);
  }
  return names;
}

/**
 * Cube's `queryRewrite`, which every query passes whichever way it came: names and values only, times as they are
 * published, and for a limited token a filter on every cube that the query reads, also by way of other members and of
 * views.
 *
 * A cube without the dimension is refused to such a token: its rows could not be limited. So is one with a dimension
 * that is a query of its own, which a filter does not reach.
 */
function limitRows(compilerApi) {
  return async (given, context) => {
    const wrong = strange(given);
    if (wrong) throw new CubejsHandlerError(400, 'Bad Request', wrong);
    const query = { ...given, timezone: 'UTC' }; // published times are local times and dates: no zone may move them
    const names = boroughs(context.securityContext);
    if (!names) return query;
    const api = await compilerApi(context);
    const { cubeEvaluator } = await api.getCompilers();
    const read = [...await api.getCubesFromQuery(query, context)].map((name) => cubeEvaluator.cubeFromPath(name));
    const cubes = read.filter((cube) => !cube.isView);
    const open = cubes.find((cube) => !cube.dimensions?.[LIMITED]);
    if (open || !cubes.length) {
      throw new CubejsHandlerError(
        403, 'Forbidden', `This token is limited by ${CLAIM}, and ${open ? open.name : 'the query'} has no ${LIMITED}`,
      );
    }
    const within = cubes.find((cube) => Object.values(cube.dimensions).some((dimension) => dimension.subQuery));
    if (within) {
      throw new CubejsHandlerError(403, 'Forbidden', `This token is limited by ${CLAIM}, and ${within.name} has a sub-query`);
    }
    const filters = cubes.map((cube) => ({ member: `${cube.name}.${LIMITED}`, operator: 'equals', values: names }));
    return { ...query, filters: [...(query.filters || []), ...filters] };
  };
}

/**
 * The SQL API is part of the addon, and not offered with it either: it takes SQL of the asker's own, for which
 * `limitRows` and the bounds of a request were not made.
 *
 * @param {string} secret
 * @param {string} why
 * @returns {import('express').RequestHandler}
 */
function withoutSqlApi(secret, why) {
  const check = checkAuth(secret);
  return (req, res, next) => {
    const asked = /\/(cubesql|convert-query)\/*$/i.test(req.path) || [req.body?.format, req.query.format].flat().includes('sql');
    if (!asked) return next();
    try {
      check(req, (req.headers.authorization || '').replace(/^Bearer /, ''));
    } catch (error) {
      return res.status(error.status || 500).json({ error: error.message });
    }
    return res.status(501).json({ error: why });
  };
}

module.exports = { checkAuth, limitRows, withoutSqlApi };
