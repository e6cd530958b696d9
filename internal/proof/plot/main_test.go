package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../../../"

func TestTheDocumentIsUpToDate(t *testing.T) {
	text, err := os.ReadFile(root + page)
	require.NoError(t, err)
	want, err := withPrices(text)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(text), "run go run ./internal/proof/plot")
	drawn, err := os.ReadFile(root + chart)
	require.NoError(t, err)
	assert.Equal(t, draw(), string(drawn), "run go run ./internal/proof/plot")
}

func TestTheMeanAgeIsBelowTheInterval(t *testing.T) {
	for _, interval := range []float64{0.1, 1, 10} {
		assert.InEpsilon(t, interval/2, age(interval, 1000/interval), 0.06,
			"busy: half of a random interval, weighted by its length")
		assert.Less(t, age(interval, 0.1/interval), interval/20, "idle: each invocation polls")
	}
}

func TestAPageWithoutMarksIsAnError(t *testing.T) {
	_, err := withPrices([]byte("nothing"))
	assert.ErrorContains(t, err, "has no marks")
}
