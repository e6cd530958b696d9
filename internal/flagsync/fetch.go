package flagsync

import (
	"context"
	"errors"
	"fmt"

	"github.com/warmflags/warmflags/internal/table"
)

// Fetch returns LaunchDarkly's flags and segments as they are now: a collection of each kind. It uses neither the table
// nor the guards. Its error wraps [ErrUnauthorized] when LaunchDarkly refuses the key.
func (s *Syncer) Fetch(ctx context.Context) (all []table.Collection, err error) {
	err = errors.Join(s.problems...)
	if err == nil {
		err = s.withKey(ctx, func(key string) error {
			f := listen(ctx, s.connection, key, s.logger)
			defer f.close()
			if err := f.first(ctx, s.timeout); err != nil {
				return err
			}
			all, _ = f.take()
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("fetch prefix %q from LaunchDarkly: %w", s.environment.Prefix, err)
	}
	return all, nil
}
