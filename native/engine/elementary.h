// log, sin and cos in double from +, -, *, / and sqrt alone, so that a result does not depend on the C library's
// choice of code for a processor. Absolute error below 1e-13 for the ranges stated.
#pragma once

namespace oneround {

// Natural logarithm of a positive, normal x.
double logarithm(double x);
// Sine and cosine of 0 <= x < 1e7.
void sine_cosine(double x, double* sine, double* cosine);

}  // namespace oneround
