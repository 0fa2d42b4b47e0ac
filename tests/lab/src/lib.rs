//! A throwaway real control plane.
