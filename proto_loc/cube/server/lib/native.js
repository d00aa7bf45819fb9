'use strict';
/**
 * Which implementation `@cubejs-backend/native` uses: the addon, where set-up could install it and it loads, else the
 * stand-in of `proto_loc/standins`, put in its place in memory.
 */
const native = require('@cubejs-backend/native');

/**
 * To be called before anything else of Cube's is loaded.
 *
 * @param {'auto' | 'required' | 'off'} mode
 * @returns {{kind: 'addon' | 'stand-in', why: string}}
 */
function choose(mode) {
  let why = 'LOC_CUBE_NATIVE=off';
  if (mode !== 'off') {
    try {
      native.loadNative();
      return { kind: 'addon', why: '' };
    } catch (error) {
      why = error.message;
      if (mode === 'required') throw new Error(`LOC_CUBE_NATIVE=required, and there is no native addon: ${why}`);
    }
  }
  const standIn = require('../../../standins/cube-native');
  for (const name of Object.keys(standIn)) if (typeof native[name] === 'function') native[name] = standIn[name];
  native.loadNative = () => standIn;
  native.NativeInstance.prototype.getNative = () => standIn;
  return { kind: 'stand-in', why };
}

module.exports = { choose };
