/** @file The quantile function of the symmetric beta distribution with both shapes 0.6. */

const shape = 0.6;
const completeBeta = 1.4891922488128171 ** 2 / 0.9181687423997607; // gamma(0.6)^2 / gamma(1.2)

/** Lentz's evaluation of the incomplete beta function's continued fraction (DLMF 8.17.22), for x up to 1/2. */
function distribution(x: number): number {
  if (x === 0) return 0;
  let c = 1;
  let d = 1 / (1 - (2 * shape * x) / (shape + 1));
  let fraction = d;
  for (let m = 1; m < 200; m++) {
    const even = (m * (shape - m) * x) / ((shape + 2 * m - 1) * (shape + 2 * m));
    const odd = (-(shape + m) * (2 * shape + m) * x) / ((shape + 2 * m) * (shape + 2 * m + 1));
    let change = 1;
    for (const term of [even, odd]) {
      d = 1 / (1 + term * d);
      c = 1 + term / c;
      change = c * d;
      fraction *= change;
    }
    if (Math.abs(change - 1) < 1e-16) break;
  }
  return ((x * (1 - x)) ** shape / (shape * completeBeta)) * fraction;
}

/** The x at which a share of `probability` of Beta(0.6, 0.6) lies below, to float64 accuracy. */
export function betaQuantile(probability: number): number {
  if (probability > 0.5) return 1 - betaQuantile(1 - probability);
  let [low, high] = [0, 0.5];
  for (let i = 0; i < 80 && high - low > 1e-17; i++) {
    const middle = (low + high) / 2;
    if (distribution(middle) < probability) low = middle;
    else high = middle;
  }
  return probability === 0 ? 0 : (low + high) / 2;
}
