package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHistogramOfLongTimes(t *testing.T) {
	assert.Equal(t, "\nflip to evaluation, by consumer\n"+
		"  ≤512 ms  ################################################## 2\n"+
		"   ≤1.0 s                                                     0\n"+
		"   ≤2.0 s  #########################                          1\n"+
		"", histogram([]time.Duration{300 * time.Millisecond, 512 * time.Millisecond, 2 * time.Second}))
	assert.Equal(t, "1.1 min", label(time.Millisecond<<16))
	assert.Equal(t, "17.5 min", label(time.Millisecond<<20))
	assert.Equal(t, "1 ms", label(time.Millisecond))
}
