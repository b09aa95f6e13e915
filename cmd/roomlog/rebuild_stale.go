package main

import "context"

// rebuildStale replaces read models that projectors of another version made, and
// that serve meanwhile. When that fails they go on serving, and the next start tries
// again.
func (s *Server) rebuildStale(ctx context.Context) {
	if !s.models.Stale() || s.models.WaitApplied(ctx, s.log.Durable()) != nil {
		return
	}
	if _, err := s.models.Rebuild(ctx, nil); err != nil && ctx.Err() == nil {
		s.logger.Error("the read models could not be rebuilt; those of another version go on serving", "error", err)
	}
}
