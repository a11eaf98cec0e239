package main

import "slices"

// ratio returns a/b, and zero where there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// median returns the middle of values, the mean of the two middle ones of an
// even number, and zero of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

func minimum(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Min(values)
}

func maximum(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Max(values)
}
