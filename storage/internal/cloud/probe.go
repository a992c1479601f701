package cloud

import (
	"context"
	"errors"
	"fmt"
)

// probeKey is an object that a start writes to see what the store does. It is
// removed; a crash may leave it.
const probeKey = ".conmotion-probe"

// probe fails where the store ignores a condition.
func probe(ctx context.Context, b Bucket) (err error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ObjectTimeout)
		defer cancel()
		err = errors.Join(err, b.Remove(ctx, probeKey))
	}()
	if err := b.Remove(ctx, probeKey); err != nil {
		return err
	}
	first, err := b.Put(ctx, probeKey, []byte("1"), Condition{Absent: true})
	if err == nil {
		_, err = b.Put(ctx, probeKey, []byte("2"), Condition{Match: first})
	}
	if err != nil {
		return err
	}
	for name, condition := range map[string]Condition{"that there is no object yet": {Absent: true}, "that the object is the one that was read": {Match: first}} {
		switch _, err := b.Put(ctx, probeKey, []byte("3"), condition); {
		case err == nil:
			return fmt.Errorf("%s ignores the condition %s, so two writers would overwrite each other's checkpoint; use a store that has conditional writes", b, name)
		case !errors.Is(err, ErrCondition):
			return err
		}
	}
	return nil
}
