"""From accept to an authenticated applicant, without state for a connection that has proved nothing."""
