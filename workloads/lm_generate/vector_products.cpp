// Products of a matrix with a vector: y[o] = sum over i of w[o][i] x[i], in fp32, rows shared out to OpenMP's threads.
//
// A sum is taken in LANES chains side by side, for one chain waits for each of its additions. Two numbers of bf16 are
// read as one word of 32 bits, of which each half is an fp32 number but for a shift or a mask: no shuffling of halves.

#include <cstdint>
#include <cstring>
#include <vector>

// Inductor, which builds this, asks GCC for neither; a sum of products needs both.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("tree-loop-vectorize", "fp-contract=fast")
#endif

namespace {

float as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// A format says how a word of memory holds PARTS numbers, the first in its lowest bits.
struct Fp32 {
  using Word = float;
  static constexpr long PARTS = 1, LANES = 32;
  static float part(Word word, long) { return word; }
};

struct Bf16 {
  using Word = uint32_t;
  static constexpr long PARTS = 2, LANES = 16;
  static float part(Word word, long place) { return as_float(place ? word & 0xffff0000u : word << 16); }
};

struct Int8 {
  using Word = int8_t;
  static constexpr long PARTS = 1, LANES = 32;
  static float part(Word word, long) { return word; }
};

template <class Format>
float row_times(const typename Format::Word* row, const float* planes, long words) {
  constexpr long PARTS = Format::PARTS, LANES = Format::LANES;
  float sums[PARTS][LANES] = {};
  long at = 0;
  for (; at + LANES <= words; at += LANES)
    for (long part = 0; part < PARTS; part++)
#pragma omp simd
      for (long lane = 0; lane < LANES; lane++)
        sums[part][lane] += Format::part(row[at + lane], part) * planes[part * words + at + lane];
  float total = 0;
  for (; at < words; at++)
    for (long part = 0; part < PARTS; part++) total += Format::part(row[at], part) * planes[part * words + at];
  for (long part = 0; part < PARTS; part++)
    for (long lane = 0; lane < LANES; lane++) total += sums[part][lane];
  return total;
}

template <class Format>
void product(const void* matrix, const float* x, float* y, long rows, long columns) {
  constexpr long PARTS = Format::PARTS;
  const auto* weights = static_cast<const typename Format::Word*>(matrix);
  const long words = columns / PARTS;
  std::vector<float> planes(columns);  // x in the order in which parts are taken
  for (long part = 0; part < PARTS; part++)
    for (long at = 0; at < words; at++) planes[part * words + at] = x[at * PARTS + part];
#pragma omp parallel for schedule(static)
  for (long row = 0; row < rows; row++) y[row] = row_times<Format>(weights + row * words, planes.data(), words);
}

}  // namespace

extern "C" {

void product_fp32(const void* matrix, const float* x, float* y, long rows, long columns) {
  product<Fp32>(matrix, x, y, rows, columns);
}

void product_bf16(const void* matrix, const float* x, float* y, long rows, long columns) {
  product<Bf16>(matrix, x, y, rows, columns);
}

void product_int8(const void* matrix, const float* x, float* y, long rows, long columns) {
  product<Int8>(matrix, x, y, rows, columns);
}

}
