package server

import (
	"context"
	"fmt"

	"sluice/config"
	"sluice/mask"
)

// maskKeys finds the keys of hashes: the configured ones, and the gateway's own
// behind them, which what was hashed before there were others may still need.
func (s *Server) maskKeys(ctx context.Context, cfg *config.Config) (*mask.Keys, error) {
	var keys []mask.Key
	for _, k := range cfg.Gateway.Mask.Keys {
		found, err := reference(k.Secret).Resolve(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: mask key %s: %w", k.Secret.Pos, k.ID.Value, err)
		}
		keys = append(keys, mask.Key{ID: k.ID.Value, Secret: found})
	}
	local, err := s.folder.key("mask")
	if err != nil {
		return nil, err
	}
	all, err := mask.NewKeys(append(keys, mask.Key{ID: config.LocalKey, Secret: local})...)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return all, nil
}
